# Rules for each dataset, since only OpenShape's files hold features.
for name, dataset in CAD.items():
    is_openshape = dataset.format.name == "openshape"

    rule:
        name:
            f"read_cad_{name}"
        input:
            generated_marker(name),
        output:
            **({"embeddings": PLACES.embeddings(OPENSHAPE_CLIP, name, "{split}", "{part}")} if is_openshape else {}),
            triplets=PLACES.part("triplets", name, "{split}", "{part}"),
            views=PLACES.part("views", name, "{split}", "{part}"),
            captions=PLACES.part("captions", name, "{split}", "{part}"),
            rejects=PLACES.rejects("cad", name, "{split}", "{part}"),
        log:
            f"<logs>/cad/{name}/{{split}}/part-{{part}}.log",
        benchmark:
            f"<timings>/cad/{name}/{{split}}/part-{{part}}.tsv"
        resources:
            mem_mb=2000,
        params:
            root=root_of(name),
            dataset=name,
            parts=dataset.parts,
            format=dataset.format.name,
            options=as_json(dataset.options),
            stage_version=STAGE_VERSIONS["cad"],
        shell:
            "blendclip cad --root {params.root:q} --dataset {params.dataset} --split {wildcards.split}"
            " --part {wildcards.part} --parts {params.parts} --format {params.format:q} --options {params.options:q}"
            " --max-fault-fraction {FAULTS} --output {output.triplets:q} --view-output {output.views:q}"
            " --captions {output.captions:q} --rejects {output.rejects:q}"
            + (" --embeddings {output.embeddings:q}" if is_openshape else "")
            + " > {log:q} 2>&1"

    for split in dataset.splits:

        rule:
            name:
                f"summarize_{name}_{split}"
            input:
                triplets=parts(staged("triplets"), name, split),
                views=parts(staged("views"), name, split),
                rejects=parts(rejected("cad"), name, split),
            output:
                PLACES.summary(name, split),
            log:
                f"<logs>/triplets/{name}/{split}/summary.log",
            benchmark:
                f"<timings>/triplets/{name}/{split}/summary.tsv"
            localrule: True
            params:
                results=CONFIG.results,
                dataset=name,
                split=split,
                parts=dataset.parts,
                stage_version=STAGE_VERSIONS["summary"],
            shell:
                "blendclip summary --results {params.results:q} --dataset {params.dataset} --split {params.split}"
                " --parts {params.parts} --output {output:q} > {log:q} 2>&1"
