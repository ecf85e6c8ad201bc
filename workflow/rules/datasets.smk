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
        rig=city_rig,
        seed=city_seed,
        stage_version=city_stage_version,
    shell:
        'blendclip city --rig {params.rig} --root "$(dirname {output:q})" {params.scenes} --seed {params.seed} --workers {threads} 2>&1 | tee {log:q}'


# One rule for each dataset: its devkit loads all tables once, whatever the number of splits.
for name, dataset in mined_datasets().items():

    rule:
        name:
            f"index_{name}"
        input:
            f"{root_of(name)}/city.json" if dataset["format"] in GENERATED else [],
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
            format=GENERATED.get(dataset["format"], dataset)["format"],
            version=GENERATED.get(dataset["format"], dataset)["version"],
            splits=dataset["splits"],
            name=name,
            folder=f"{RESULTS}/index/{name}",
            stage_version=STAGE_VERSIONS["index"],
        shell:
            "blendclip index --root {params.root:q} --format {params.format} --version {params.version:q} --dataset {params.name}"
            " --splits {params.splits} --output {params.folder:q} 2>&1 | tee {log:q}"
