rule gather_clouds:
    input:
        index="<results>/index/{dataset}/{split}.parquet",
    output:
        clouds="<results>/clouds/{dataset}/{split}/part-{part}.parquet",
        rejects="<results>/rejects/{dataset}/{split}/part-{part}.clouds.parquet",
    log:
        "<logs>/clouds/{dataset}/{split}/part-{part}.log",
    benchmark:
        "<benchmarks>/clouds/{dataset}/{split}/part-{part}.tsv"
    resources:
        mem_mb=1000,
    params:
        root=dataset_root,
        parts=parts_of,
        options=config["clouds"],
        colors="--colors" if config["clouds"]["colors"] else "",
        stage_version=STAGE_VERSIONS["clouds"],
    shell:
        "blendclip clouds --index {input.index:q} --root {params.root:q} --part {wildcards.part} --parts {params.parts}"
        " --sweeps {params.options[sweeps]} --motion {params.options[motion]}"
        " --min-points {params.options[min_points]} {params.colors} --max-fault-fraction {config[max_fault_fraction]}"
        " --output {output.clouds:q} --rejects {output.rejects:q} > {log:q} 2>&1"


rule cut_views:
    input:
        index="<results>/index/{dataset}/{split}.parquet",
    output:
        views="<results>/views/{dataset}/{split}/part-{part}.parquet",
        rejects="<results>/rejects/{dataset}/{split}/part-{part}.views.parquet",
    log:
        "<logs>/views/{dataset}/{split}/part-{part}.log",
    benchmark:
        "<benchmarks>/views/{dataset}/{split}/part-{part}.tsv"
    resources:
        mem_mb=1000,
    params:
        root=dataset_root,
        parts=parts_of,
        options=config["views"],
        partly="" if config["views"]["whole_box"] else "--partly",
        stage_version=STAGE_VERSIONS["views"],
    shell:
        "blendclip views --index {input.index:q} --root {params.root:q} --part {wildcards.part} --parts {params.parts}"
        " --min-visibility {params.options[min_visibility]} --min-side-px {params.options[min_side_px]}"
        " --jpeg-quality {params.options[jpeg_quality]} {params.partly}"
        " --max-fault-fraction {config[max_fault_fraction]}"
        " --output {output.views:q} --rejects {output.rejects:q} > {log:q} 2>&1"


rule join_triplets:
    input:
        clouds="<results>/clouds/{dataset}/{split}/part-{part}.parquet",
        views="<results>/views/{dataset}/{split}/part-{part}.parquet",
        captions="<results>/captions/{dataset}/{split}/part-{part}.parquet",
    output:
        triplets="<results>/triplets/{dataset}/{split}/part-{part}.parquet",
        rejects="<results>/rejects/{dataset}/{split}/part-{part}.triplets.parquet",
    log:
        "<logs>/triplets/{dataset}/{split}/part-{part}.log",
    benchmark:
        "<benchmarks>/triplets/{dataset}/{split}/part-{part}.tsv"
    resources:
        mem_mb=1000,
    params:
        stage_version=STAGE_VERSIONS["triplets"],
    shell:
        "blendclip triplets --clouds {input.clouds:q} --views {input.views:q} --captions {input.captions:q}"
        " --output {output.triplets:q} --rejects {output.rejects:q} > {log:q} 2>&1"


rule summarize_triplets:
    input:
        index="<results>/index/{dataset}/{split}.parquet",
        clouds=every_part("clouds"),
        views=every_part("views"),
        captions=every_part("captions"),
        statistics=every_part("captions", "stats.json"),
        triplets=every_part("triplets"),
        rejected_clouds=every_part("rejects", "clouds.parquet"),
        rejected_views=every_part("rejects", "views.parquet"),
        rejected_captions=every_part("rejects", "captions.parquet"),
        rejected_triplets=every_part("rejects", "triplets.parquet"),
        synonyms=PROMPTS / "synonyms.yaml",
    output:
        "<results>/triplets/{dataset}/{split}/summary.json",
    log:
        "<logs>/triplets/{dataset}/{split}/summary.log",
    benchmark:
        "<benchmarks>/triplets/{dataset}/{split}/summary.tsv"
    localrule: True
    params:
        results=RESULTS,
        parts=parts_of,
        stage_version=STAGE_VERSIONS["summary"],
    shell:
        "blendclip summary --results {params.results:q} --dataset {wildcards.dataset} --split {wildcards.split}"
        " --parts {params.parts} --synonyms {input.synonyms:q} --output {output:q} > {log:q} 2>&1"
