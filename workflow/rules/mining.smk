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
        max_fault_fraction=config["max_fault_fraction"],
        stage_version=STAGE_VERSIONS["clouds"],
    shell:
        "blendclip clouds --index {input.index} --root {params.root} --part {wildcards.part} --parts {params.parts}"
        " --sweeps {params.options[sweeps]} --motion {params.options[motion]}"
        " --min-points {params.options[min_points]} --max-fault-fraction {params.max_fault_fraction}"
        " --output {output.clouds} --rejects {output.rejects} > {log} 2>&1"


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
        max_fault_fraction=config["max_fault_fraction"],
        stage_version=STAGE_VERSIONS["views"],
    shell:
        "blendclip views --index {input.index} --root {params.root} --part {wildcards.part} --parts {params.parts}"
        " --min-visibility {params.options[min_visibility]} --min-side-px {params.options[min_side_px]}"
        " --jpeg-quality {params.options[jpeg_quality]} {params.partly}"
        " --max-fault-fraction {params.max_fault_fraction}"
        " --output {output.views} --rejects {output.rejects} > {log} 2>&1"


rule caption_views:
    input:
        views="<results>/views/{dataset}/{split}/part-{part}.parquet",
        prompt=f"{PROMPTS}/caption/{config['caption']['prompt']}.yaml",
    output:
        captions="<results>/captions/{dataset}/{split}/part-{part}.parquet",
    log:
        "<logs>/captions/{dataset}/{split}/part-{part}.log",
    benchmark:
        "<benchmarks>/captions/{dataset}/{split}/part-{part}.tsv"
    resources:
        mem_mb=1000,
    params:
        backend=config["caption"]["backend"],
        stage_version=STAGE_VERSIONS["captions"],
    shell:
        "blendclip caption --views {input.views} --backend {params.backend} --prompt {input.prompt}"
        " --output {output.captions} > {log} 2>&1"


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
        "blendclip triplets --clouds {input.clouds} --views {input.views} --captions {input.captions}"
        " --output {output.triplets} --rejects {output.rejects} > {log} 2>&1"


rule summarize_triplets:
    input:
        index="<results>/index/{dataset}/{split}.parquet",
        triplets=every_part("triplets"),
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
        "blendclip summary --results {params.results} --dataset {wildcards.dataset} --split {wildcards.split}"
        " --parts {params.parts} --output {output} > {log} 2>&1"
