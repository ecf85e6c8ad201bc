rule write_benchmark:
    input:
        source=benchmark_source,
        classes=benchmark_classes,
    output:
        PLACES.benchmark("{benchmark}"),
    log:
        "<logs>/evaluation/benchmarks/{benchmark}.log",
    benchmark:
        "<timings>/evaluation/benchmarks/{benchmark}.tsv"
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        format=benchmark_format,
        options=benchmark_options,
        results=CONFIG.results,
        stage_version=STAGE_VERSIONS["benchmarks"],
    shell:
        "blendclip benchmark --name {wildcards.benchmark} --format {params.format:q} --options {params.options:q}"
        " --results {params.results:q} --classes {input.classes:q} --output {output:q} > {log:q} 2>&1"


rule evaluate_run:
    input:
        benchmark=PLACES.benchmark("{benchmark}"),
        model=measured_files,
        classes=benchmark_weights,
        packed=benchmark_packed,
    output:
        metrics=PLACES.metrics("{run}", "{benchmark}"),
        predictions=PLACES.predictions("{run}", "{benchmark}"),
    log:
        "<logs>/evaluation/runs/{run}/{benchmark}.log",
    benchmark:
        "<timings>/evaluation/runs/{run}/{benchmark}.tsv"
    threads: 8
    resources:
        mem_mb=growing(8000),
        runtime=growing(240),
        gpu=0,
        nodes=1,
        tasks_per_gpu=0,
    params:
        results=CONFIG.results,
        options=evaluation_options,
        stage_version=STAGE_VERSIONS["evaluation"],
    shell:
        "blendclip evaluate --results {params.results:q} --run {wildcards.run:q} --benchmark {wildcards.benchmark:q}"
        " {params.options} --threads {threads} > {log:q} 2>&1"


# What is shared of a run: weights, what they are, and a card with the numbers of the report.
rule write_model:
    input:
        weights=PLACES.model_weights("{run}"),
        about=PLACES.model_about("{run}"),
        metrics=run_metrics,
    output:
        directory(PLACES.model("{run}")),
    log:
        "<logs>/models/{run}.log",
    benchmark:
        "<timings>/models/{run}.tsv"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        stage_version=STAGE_VERSIONS["models"],
    shell:
        "blendclip model {input.weights:q} --metrics {input.metrics:q} --output {output:q} > {log:q} 2>&1"


# The report on the runs under `train`, and the one on those under `sweep`.
for name, key in {"report": "train", "sweep_ratios": "sweep"}.items():

    rule:
        name:
            f"write_{name}"
        input:
            evaluated=evaluated_runs(key),
            logs=[str(place(run)) for run in getattr(CONFIG, key) for place in (PLACES.metrics_log, PLACES.recipe)],
            clouds=[str(PLACES.benchmark(benchmark)) for benchmark in CONFIG.evaluate],
            summaries=summaries(DATASETS),
        output:
            report=report(
                directory(PLACES.report(name)),
                htmlindex="index.html",
                caption="../report/report.rst",
                category="Zero-shot results",
                labels={"what": "report"},
            ),
            tables=report(
                directory(PLACES.tables(name)),
                patterns=["{table}.csv"],
                caption="../report/tables.rst",
                category="Zero-shot results",
                labels={"what": "{table}"},
            ),
        log:
            f"<logs>/{name}.write.log",
        benchmark:
            f"<timings>/{name}.tsv"
        resources:
            mem_mb=growing(4000),
            runtime=growing(60),
        params:
            results=CONFIG.results,
            runs=reported(key),
            benchmarks=CONFIG.evaluate,
            origins=origins(),
            splits=["/".join(which) for which in splits_of(DATASETS)],
            stage_version=STAGE_VERSIONS["report"],
        shell:
            "blendclip report --results {params.results:q} --runs {params.runs:q} --benchmarks {params.benchmarks:q}"
            " {params.origins} --splits {params.splits:q} --output {output.report:q} --tables {output.tables:q} > {log:q} 2>&1"
