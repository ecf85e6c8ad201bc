rule gather_clouds:
    input:
        index=PLACES.index("{dataset}", "{split}"),
    output:
        clouds=PLACES.part("clouds", "{dataset}", "{split}", "{part}"),
        rejects=PLACES.rejects("clouds", "{dataset}", "{split}", "{part}"),
    log:
        "<logs>/clouds/{dataset}/{split}/part-{part}.log",
    benchmark:
        "<timings>/clouds/{dataset}/{split}/part-{part}.tsv"
    group:
        PART_GROUP
    resources:
        mem_mb=growing(1000),
        runtime=growing(120),
    params:
        root=dataset_root,
        parts=parts_of,
        options=as_json(CONFIG.clouds),
        stage_version=STAGE_VERSIONS["clouds"],
    shell:
        "blendclip clouds --index {input.index:q} --root {params.root:q} --part {wildcards.part} --parts {params.parts}"
        " --options {params.options:q} --max-fault-fraction {FAULTS} --max-disagree-fraction {DISAGREEMENT}"
        " --output {output.clouds:q} --rejects {output.rejects:q} > {log:q} 2>&1"


rule cut_views:
    input:
        index=PLACES.index("{dataset}", "{split}"),
    output:
        views=PLACES.part("views", "{dataset}", "{split}", "{part}"),
        rejects=PLACES.rejects("views", "{dataset}", "{split}", "{part}"),
    log:
        "<logs>/views/{dataset}/{split}/part-{part}.log",
    benchmark:
        "<timings>/views/{dataset}/{split}/part-{part}.tsv"
    group:
        PART_GROUP
    resources:
        mem_mb=growing(1000),
        runtime=growing(240),
    params:
        root=dataset_root,
        parts=parts_of,
        options=as_json(CONFIG.views),
        stage_version=STAGE_VERSIONS["views"],
    shell:
        "blendclip views --index {input.index:q} --root {params.root:q} --part {wildcards.part} --parts {params.parts}"
        " --options {params.options:q} --max-fault-fraction {FAULTS}"
        " --output {output.views:q} --rejects {output.rejects:q} > {log:q} 2>&1"


rule join_triplets:
    input:
        clouds=PLACES.part("clouds", "{dataset}", "{split}", "{part}"),
        views=PLACES.part("views", "{dataset}", "{split}", "{part}"),
        captions=PLACES.part("captions", "{dataset}", "{split}", "{part}"),
    output:
        triplets=PLACES.part("triplets", "{dataset}", "{split}", "{part}"),
        rejects=PLACES.rejects("triplets", "{dataset}", "{split}", "{part}"),
    log:
        "<logs>/triplets/{dataset}/{split}/part-{part}.log",
    benchmark:
        "<timings>/triplets/{dataset}/{split}/part-{part}.tsv"
    wildcard_constraints:
        dataset="|".join(CAPTIONED),
    group:
        PART_GROUP
    resources:
        mem_mb=growing(1000),
        runtime=growing(60),
    params:
        stage_version=STAGE_VERSIONS["triplets"],
    shell:
        "blendclip triplets --clouds {input.clouds:q} --views {input.views:q} --captions {input.captions:q}"
        " --output {output.triplets:q} --rejects {output.rejects:q} > {log:q} 2>&1"


rule summarize_triplets:
    input:
        index=PLACES.index("{dataset}", "{split}"),
        clouds=every_part(staged("clouds")),
        views=every_part(staged("views")),
        captions=every_part(staged("captions")),
        statistics=every_part(PLACES.caption_statistics),
        triplets=every_part(staged("triplets")),
        rejected_clouds=every_part(rejected("clouds")),
        rejected_views=every_part(rejected("views")),
        rejected_captions=every_part(rejected("captions")),
        rejected_triplets=every_part(rejected("triplets")),
        synonyms=PROMPTS / "synonyms.yaml",
    output:
        PLACES.summary("{dataset}", "{split}"),
    log:
        "<logs>/triplets/{dataset}/{split}/summary.log",
    benchmark:
        "<timings>/triplets/{dataset}/{split}/summary.tsv"
    localrule: True
    params:
        results=CONFIG.results,
        parts=parts_of,
        stage_version=STAGE_VERSIONS["summary"],
    shell:
        "blendclip summary --results {params.results:q} --dataset {wildcards.dataset} --split {wildcards.split}"
        " --parts {params.parts} --synonyms {input.synonyms:q} --output {output:q} > {log:q} 2>&1"
