# Clouds and features are separate files, so that another CLIP packs no cloud again.
rule pack_clouds:
    input:
        triplets="<results>/triplets/{dataset}/{split}/part-{part}.parquet",
    output:
        clouds="<results>/packed/{dataset}/{split}/part-{part}.arrow",
    log:
        "<logs>/packed/{dataset}/{split}/part-{part}.log",
    benchmark:
        "<benchmarks>/packed/{dataset}/{split}/part-{part}.tsv"
    wildcard_constraints:
        dataset="|".join(embedded_datasets()) or "none",
    resources:
        mem_mb=1000,
    params:
        stage_version=STAGE_VERSIONS["packed"],
    shell:
        "blendclip pack-clouds --triplets {input.triplets:q} --output {output.clouds:q} > {log:q} 2>&1"


rule pack_features:
    input:
        triplets="<results>/triplets/{dataset}/{split}/part-{part}.parquet",
        views="<results>/views/{dataset}/{split}/part-{part}.parquet",
        captions="<results>/captions/{dataset}/{split}/part-{part}.parquet",
        embeddings="<results>/embeddings/{clip}/{dataset}/{split}/part-{part}.parquet",
    output:
        features="<results>/packed/{clip}/{dataset}/{split}/part-{part}.arrow",
    log:
        "<logs>/packed/{clip}/{dataset}/{split}/part-{part}.log",
    benchmark:
        "<benchmarks>/packed/{clip}/{dataset}/{split}/part-{part}.tsv"
    wildcard_constraints:
        clip="[^/]+",
        dataset="|".join(embedded_datasets()) or "none",
    resources:
        mem_mb=4000,
    params:
        stage_version=STAGE_VERSIONS["packed"],
    shell:
        "blendclip pack-features --triplets {input.triplets:q} --views {input.views:q} --captions {input.captions:q}"
        " --embeddings {input.embeddings:q} --output {output.features:q} > {log:q} 2>&1"
