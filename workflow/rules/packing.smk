CLIP_NAME = globals().get("CLIP_NAME", "tiny")
PACKED = mined_datasets() | cad_datasets()


def packed_parts(name, split):
    """All packed files of a dataset and split."""
    places = (f"{RESULTS}/packed/{name}/{split}", f"{RESULTS}/packed/{CLIP_NAME}/{name}/{split}")
    return [f"{place}/part-{part:05d}.arrow" for place in places for part in range(PACKED[name]["parts"])]


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
        dataset="|".join(PACKED) or "none",
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
        dataset="|".join(PACKED) or "none",
    resources:
        mem_mb=4000,
    params:
        stage_version=STAGE_VERSIONS["packed"],
    shell:
        "blendclip pack-features --triplets {input.triplets:q} --views {input.views:q} --captions {input.captions:q}"
        " --embeddings {input.embeddings:q} --output {output.features:q} > {log:q} 2>&1"


rule pack:
    input:
        [path for name, dataset in PACKED.items() for split in dataset["splits"] for path in packed_parts(name, split)],
    log:
        "<logs>/pack.log",
    localrule: True
    params:
        results=RESULTS,
        clip=CLIP_NAME,
        splits=[f"{name}/{split}:{dataset['parts']}" for name, dataset in PACKED.items() for split in dataset["splits"]],
    shell:
        "blendclip show-packed --results {params.results:q} --clip {params.clip:q} {params.splits:q} 2> {log:q}"
