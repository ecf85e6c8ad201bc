if SHAPES:

    rule generate_shapes:
        output:
            "<results>/datasets/{dataset}/objects.jsonl",
        log:
            "<logs>/datasets/{dataset}.log",
        benchmark:
            "<benchmarks>/datasets/{dataset}.tsv"
        wildcard_constraints:
            dataset="|".join(SHAPES),
        threads: 8
        resources:
            mem_mb=2000,
        params:
            variants=shapes_variants,
            seed=city_seed,
            stage_version=STAGE_VERSIONS["shapes"],
        shell:
            'blendclip shapes --root "$(dirname {output:q})" {params.variants} --seed {params.seed}'
            " --workers {threads} > {log:q} 2>&1"


# Rules for each dataset, since only OpenShape's files hold features.
for name, dataset in cad_datasets().items():
    features = f"<results>/embeddings/{OPENSHAPE_CLIP}/{name}/{{split}}/part-{{part}}.parquet"
    is_openshape = dataset["format"] == "openshape"
    part_names = [f"part-{part:05d}" for part in range(dataset["parts"])]

    rule:
        name:
            f"read_cad_{name}"
        input:
            f"{root_of(name)}/objects.jsonl" if name in SHAPES else [],
        output:
            **({"embeddings": features} if is_openshape else {}),
            triplets=f"<results>/triplets/{name}/{{split}}/part-{{part}}.parquet",
            views=f"<results>/views/{name}/{{split}}/part-{{part}}.parquet",
            captions=f"<results>/captions/{name}/{{split}}/part-{{part}}.parquet",
            rejects=f"<results>/rejects/{name}/{{split}}/part-{{part}}.cad.parquet",
        log:
            f"<logs>/cad/{name}/{{split}}/part-{{part}}.log",
        benchmark:
            f"<benchmarks>/cad/{name}/{{split}}/part-{{part}}.tsv"
        resources:
            mem_mb=2000,
        params:
            root=root_of(name),
            dataset=name,
            parts=dataset["parts"],
            options=cad_options(dataset),
            stage_version=STAGE_VERSIONS["cad"],
        shell:
            "blendclip cad --root {params.root:q} --dataset {params.dataset} --split {wildcards.split}"
            " --part {wildcards.part} --parts {params.parts} {params.options}"
            " --max-fault-fraction {config[max_fault_fraction]} --output {output.triplets:q} --views {output.views:q}"
            " --captions {output.captions:q} --rejects {output.rejects:q}"
            + (" --embeddings {output.embeddings:q}" if is_openshape else "")
            + " > {log:q} 2>&1"

    rule:
        name:
            f"summarize_cad_{name}"
        input:
            triplets=expand(f"{RESULTS}/triplets/{name}/{{{{split}}}}/{{part}}.parquet", part=part_names),
            views=expand(f"{RESULTS}/views/{name}/{{{{split}}}}/{{part}}.parquet", part=part_names),
            rejects=expand(f"{RESULTS}/rejects/{name}/{{{{split}}}}/{{part}}.cad.parquet", part=part_names),
        output:
            f"<results>/triplets/{name}/{{split}}/summary.json",
        log:
            f"<logs>/triplets/{name}/{{split}}/summary.log",
        benchmark:
            f"<benchmarks>/triplets/{name}/{{split}}/summary.tsv"
        localrule: True
        params:
            results=RESULTS,
            dataset=name,
            parts=dataset["parts"],
            stage_version=STAGE_VERSIONS["cad"],
        shell:
            "blendclip cad-summary --results {params.results:q} --dataset {params.dataset} --split {wildcards.split}"
            " --parts {params.parts} --output {output:q} > {log:q} 2>&1"
