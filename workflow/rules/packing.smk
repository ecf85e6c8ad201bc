# Clouds and features are separate files, so that another CLIP packs no cloud again.
rule pack_clouds:
    input:
        triplets=PLACES.part("triplets", "{dataset}", "{split}", "{part}"),
    output:
        clouds=PLACES.packed_clouds("{dataset}", "{split}", "{part}"),
    log:
        "<logs>/packed/{dataset}/{split}/part-{part}.log",
    benchmark:
        "<timings>/packed/{dataset}/{split}/part-{part}.tsv"
    wildcard_constraints:
        dataset="|".join(DATASETS),
    resources:
        mem_mb=growing(1000),
        runtime=growing(60),
    params:
        stage_version=STAGE_VERSIONS["packed"],
    shell:
        "blendclip pack-clouds --triplets {input.triplets:q} --output {output.clouds:q} > {log:q} 2>&1"


rule pack_features:
    input:
        triplets=PLACES.part("triplets", "{dataset}", "{split}", "{part}"),
        views=PLACES.part("views", "{dataset}", "{split}", "{part}"),
        captions=PLACES.part("captions", "{dataset}", "{split}", "{part}"),
        embeddings=PLACES.embeddings("{clip}", "{dataset}", "{split}", "{part}"),
    output:
        features=PLACES.packed_features("{clip}", "{dataset}", "{split}", "{part}"),
    log:
        "<logs>/packed/{clip}/{dataset}/{split}/part-{part}.log",
    benchmark:
        "<timings>/packed/{clip}/{dataset}/{split}/part-{part}.tsv"
    wildcard_constraints:
        clip="[^/]+",
        dataset="|".join(DATASETS),
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        stage_version=STAGE_VERSIONS["packed"],
    shell:
        "blendclip pack-features --triplets {input.triplets:q} --views {input.views:q} --captions {input.captions:q}"
        " --embeddings {input.embeddings:q} --output {output.features:q} > {log:q} 2>&1"
