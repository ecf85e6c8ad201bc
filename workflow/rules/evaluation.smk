rule write_benchmark:
    input:
        source=benchmark_source,
        classes=benchmark_classes,
    output:
        "<results>/evaluation/benchmarks/{benchmark}.parquet",
    log:
        "<logs>/evaluation/benchmarks/{benchmark}.log",
    benchmark:
        "<benchmarks>/evaluation/benchmarks/{benchmark}.tsv"
    resources:
        mem_mb=4000,
    params:
        options=benchmark_options,
        stage_version=STAGE_VERSIONS["benchmarks"],
    shell:
        "blendclip benchmark --name {wildcards.benchmark} {params.options} --classes {input.classes:q}"
        " --output {output:q} > {log:q} 2>&1"


rule evaluate_run:
    input:
        benchmark="<results>/evaluation/benchmarks/{benchmark}.parquet",
        model="<results>/runs/{run}/model.safetensors",
        about="<results>/runs/{run}/model.json",
        classes=benchmark_weights,
        packed=benchmark_packed,
    output:
        metrics="<results>/evaluation/runs/{run}/{benchmark}/metrics.json",
        predictions="<results>/evaluation/runs/{run}/{benchmark}/predictions.parquet",
    log:
        "<logs>/evaluation/runs/{run}/{benchmark}.log",
    benchmark:
        "<benchmarks>/evaluation/runs/{run}/{benchmark}.tsv"
    threads: 8
    resources:
        mem_mb=8000,
        gpu=0,
    params:
        results=RESULTS,
        options=evaluation_options,
        stage_version=STAGE_VERSIONS["evaluation"],
    shell:
        "blendclip evaluate --results {params.results:q} --run {wildcards.run:q} --benchmark {wildcards.benchmark:q}"
        " {params.options} --threads {threads} > {log:q} 2>&1"


# The report on the runs under `train`, and the one on those under `sweep`.
for name, key in {"report": "train", "sweep_ratios": "sweep"}.items():
    tables = "<results>/tables" if name == "report" else f"<results>/{name}_tables"

    rule:
        name:
            f"write_{name}"
        input:
            evaluated=evaluated_runs(key),
            logs=expand("<results>/runs/{run}/{file}", run=config[key], file=["log.jsonl", "recipe.json"]),
            clouds=expand("<results>/evaluation/benchmarks/{benchmark}.parquet", benchmark=config["evaluate"]),
            summaries=[*mined_summaries(), *cad_summaries()],
        output:
            report=report(
                directory(f"<results>/{name}"),
                htmlindex="index.html",
                caption="../report/report.rst",
                category="Zero-shot results",
                labels={"what": "report"},
            ),
            tables=report(
                directory(tables),
                patterns=["{table}.csv"],
                caption="../report/tables.rst",
                category="Zero-shot results",
                labels={"what": "{table}"},
            ),
        log:
            f"<logs>/{name}.write.log",
        benchmark:
            f"<benchmarks>/{name}.tsv"
        resources:
            mem_mb=4000,
        params:
            results=RESULTS,
            runs=config[key],
            benchmarks=config["evaluate"],
            generated=generated_benchmarks(),
            splits=splits_of(mined_datasets() | cad_datasets()),
            stage_version=STAGE_VERSIONS["report"],
        shell:
            "blendclip report --results {params.results:q} --runs {params.runs:q} --benchmarks {params.benchmarks:q}"
            " {params.generated} --splits {params.splits:q} --output {output.report:q} --tables {output.tables:q} > {log:q} 2>&1"
