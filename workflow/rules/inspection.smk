rule inspect_dataset:
    input:
        index=PLACES.index("{dataset}", "{split}"),
    output:
        report(
            directory(PLACES.inspection("{dataset}", "{split}")),
            patterns=["{scene}/{picture}.jpg", "{scene}/{picture}.png"],
            caption="../report/inspection.rst",
            category="Projection check",
            subcategory="{dataset}",
            labels={"split": "{split}", "scene": "{scene}", "image": "{picture}"},
        ),
    log:
        "<logs>/inspection/{dataset}/{split}.log",
    benchmark:
        "<timings>/inspection/{dataset}/{split}.tsv"
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        root=dataset_root,
        stage_version=STAGE_VERSIONS["inspection"],
    shell:
        "blendclip inspect --index {input.index:q} --root {params.root:q} --output {output:q} > {log:q} 2>&1"
