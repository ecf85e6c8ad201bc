def cad_outputs(name):
    """What reading a CAD dataset writes beside views and rejects, by the flag of `blendclip cad`."""
    if name in CAPTIONED:
        return {"clouds": "clouds"}
    return {"output": "triplets", "captions": "captions"}


def cad_accounts(name, split):
    """What the summary of a CAD dataset counts further where a model captioned it."""
    if name not in CAPTIONED:
        return {}
    tables = {stage: parts(staged(stage), name, split) for stage in ("clouds", "captions")}
    return tables | {f"rejected_{stage}": parts(rejected(stage), name, split) for stage in ("captions", "triplets")}


# Rules for each dataset, since only OpenShape's files hold features, and captions are the source's or a model's.
for name, dataset in CAD.items():
    is_openshape = dataset.format.name == "openshape"
    written = cad_outputs(name)

    rule:
        name:
            f"read_cad_{name}"
        input:
            generated_marker(name),
        output:
            **({"embeddings": PLACES.embeddings(OPENSHAPE_CLIP, name, "{split}", "{part}")} if is_openshape else {}),
            **{stage: PLACES.part(stage, name, "{split}", "{part}") for stage in written.values()},
            views=PLACES.part("views", name, "{split}", "{part}"),
            rejects=PLACES.rejects("cad", name, "{split}", "{part}"),
        log:
            f"<logs>/cad/{name}/{{split}}/part-{{part}}.log",
        benchmark:
            f"<timings>/cad/{name}/{{split}}/part-{{part}}.tsv"
        resources:
            **family("read_cad", mem_mb=growing(2000), runtime=growing(240)),
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
            " --max-fault-fraction {FAULTS} --view-output {output.views:q} --rejects {output.rejects:q}"
            + "".join(f" --{flag} {{output.{stage}:q}}" for flag, stage in written.items())
            + (" --embeddings {output.embeddings:q}" if is_openshape else "")
            + " > {log:q} 2>&1"

    for split in dataset.splits:

        rule:
            name:
                f"summarize_{name}_{split}"
            input:
                **cad_accounts(name, split),
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
