# One rule for each dataset that is generated, since its format says which file is written last.
for name, dataset in DATASETS.items():
    if dataset.generator is not None:

        rule:
            name:
                f"generate_{name}"
            output:
                generated_marker(name),
            log:
                f"<logs>/datasets/{name}.log",
            benchmark:
                f"<timings>/datasets/{name}.tsv"
            threads: 8
            resources:
                **family("generate_dataset", mem_mb=growing(4000), runtime=growing(120)),
            params:
                command=dataset.format.generator.command,
                options=as_json(dataset.generator),
                stage_version=STAGE_VERSIONS[dataset.format.generator.stage],
            shell:
                'exec blendclip --log {log:q} {params.command} --root "$(dirname {output:q})" --options {params.options:q}'
                " --workers {threads}"


# One rule for each dataset: all tables are read once, whatever the number of splits.
for name, dataset in MINED.items():

    rule:
        name:
            f"index_{name}"
        input:
            generated_marker(name),
        output:
            [str(PLACES.index(name, split)) for split in dataset.splits],
        log:
            f"<logs>/index/{name}.log",
        benchmark:
            f"<timings>/index/{name}.tsv"
        resources:
            **family("index_dataset", mem_mb=growing(index_mb(name)), runtime=growing(120)),
        params:
            root=root_of(name),
            format=dataset.format.name,
            options=as_json(dataset.options),
            splits=dataset.splits,
            name=name,
            folder=PLACES.index(name, "any").parent,
            stage_version=STAGE_VERSIONS["index"],
        shell:
            "exec blendclip --log {log:q} index --root {params.root:q} --format {params.format:q}"
            " --options {params.options:q} --dataset {params.name} --splits {params.splits} --output {params.folder:q}"
