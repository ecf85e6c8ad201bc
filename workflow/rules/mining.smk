rule gather_clouds:
    input:
        index=RESULTS + "/index/{dataset}/{split}.parquet",
    output:
        clouds=RESULTS + "/clouds/{dataset}/{split}/part-{part}.parquet",
        rejects=RESULTS + "/rejects/{dataset}/{split}/part-{part}.clouds.parquet",
    log:
        RESULTS + "/logs/clouds/{dataset}/{split}/part-{part}.log",
    benchmark:
        RESULTS + "/benchmarks/clouds/{dataset}/{split}/part-{part}.tsv"
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
        index=RESULTS + "/index/{dataset}/{split}.parquet",
    output:
        views=RESULTS + "/views/{dataset}/{split}/part-{part}.parquet",
        rejects=RESULTS + "/rejects/{dataset}/{split}/part-{part}.views.parquet",
    log:
        RESULTS + "/logs/views/{dataset}/{split}/part-{part}.log",
    benchmark:
        RESULTS + "/benchmarks/views/{dataset}/{split}/part-{part}.tsv"
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


rule join_triplets:
    input:
        clouds=RESULTS + "/clouds/{dataset}/{split}/part-{part}.parquet",
        views=RESULTS + "/views/{dataset}/{split}/part-{part}.parquet",
        captions=RESULTS + "/captions/{dataset}/{split}/part-{part}.parquet",
    output:
        triplets=RESULTS + "/triplets/{dataset}/{split}/part-{part}.parquet",
        rejects=RESULTS + "/rejects/{dataset}/{split}/part-{part}.triplets.parquet",
    log:
        RESULTS + "/logs/triplets/{dataset}/{split}/part-{part}.log",
    benchmark:
        RESULTS + "/benchmarks/triplets/{dataset}/{split}/part-{part}.tsv"
    resources:
        mem_mb=1000,
    params:
        stage_version=STAGE_VERSIONS["triplets"],
    shell:
        "blendclip triplets --clouds {input.clouds} --views {input.views} --captions {input.captions}"
        " --output {output.triplets} --rejects {output.rejects} > {log} 2>&1"


rule summarize_triplets:
    input:
        index=RESULTS + "/index/{dataset}/{split}.parquet",
        triplets=every_part(RESULTS + "/triplets/{dataset}/{split}/part-{part}.parquet"),
        synonyms=PROMPTS / "synonyms.yaml",
    output:
        RESULTS + "/triplets/{dataset}/{split}/summary.json",
    log:
        RESULTS + "/logs/triplets/{dataset}/{split}/summary.log",
    benchmark:
        RESULTS + "/benchmarks/triplets/{dataset}/{split}/summary.tsv"
    localrule: True
    params:
        results=RESULTS,
        parts=parts_of,
        stage_version=STAGE_VERSIONS["summary"],
    shell:
        "blendclip summary --results {params.results} --dataset {wildcards.dataset} --split {wildcards.split}"
        " --parts {params.parts} --synonyms {input.synonyms} --output {output} > {log} 2>&1"
