rule generate_city:
    output:
        "<results>/datasets/{dataset}/city.json",
    log:
        "<logs>/datasets/{dataset}.log",
    benchmark:
        "<benchmarks>/datasets/{dataset}.tsv"
    threads: 8
    resources:
        mem_mb=4000,
    params:
        scenes=city_scenes,
        seed=city_seed,
        stage_version=STAGE_VERSIONS["city"],
    shell:
        'blendclip city --root "$(dirname {output:q})" {params.scenes} --seed {params.seed} --workers {threads} 2>&1 | tee {log:q}'


# One rule for each dataset: its devkit loads all tables once, whatever the number of splits.
for name, dataset in mined_datasets().items():

    rule:
        name:
            f"index_{name}"
        input:
            f"{root_of(name)}/city.json" if dataset["format"] == "city" else [],
        output:
            expand("<results>/index/{name}/{split}.parquet", name=name, split=dataset["splits"]),
        log:
            f"<logs>/index/{name}.log",
        benchmark:
            f"<benchmarks>/index/{name}.tsv"
        resources:
            mem_mb=20000 if dataset.get("version", "").endswith("trainval") else 2000,
        params:
            root=root_of(name),
            format=format_of(name),
            version=dataset.get("version", CITY_TABLES),
            splits=dataset["splits"],
            name=name,
            folder=f"{RESULTS}/index/{name}",
            stage_version=STAGE_VERSIONS["index"],
        shell:
            "blendclip index --format {params.format} --root {params.root:q} --version {params.version:q} --dataset {params.name}"
            " --splits {params.splits} --output {params.folder:q} 2>&1 | tee {log:q}"
