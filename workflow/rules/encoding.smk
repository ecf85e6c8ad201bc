# One job for each dataset and split: a large CLIP takes longer to load than a part takes to embed. OpenShape holds no
# images; its reader writes the features that it brings along.
for name, split in splits_of(DATASETS):
    if DATASETS[name].format.name != "openshape":

        rule:
            name:
                f"embed_{name}_{split}"
            input:
                views=parts(staged("views"), name, split),
                captions=parts(staged("captions"), name, split),
                weights=clip_files,
            output:
                parts(embedded, name, split),
            log:
                f"<logs>/embeddings/{CLIP}/{name}/{split}.log",
            benchmark:
                f"<timings>/embeddings/{CLIP}/{name}/{split}.tsv"
            threads: 32
            resources:
                mem_mb=8000,
                clip_jobs=1,
            params:
                clip=as_json(CONFIG.clip),
                output=PLACES.embeddings(CLIP, name, split, 0).parent,
                cache=PLACES.embedding_cache(CLIP, name, split),
                stage_version=STAGE_VERSIONS["embeddings"],
            shell:
                "blendclip embed --views {input.views:q} --captions {input.captions:q} --clip {params.clip:q}"
                " --output {params.output:q} --cache {params.cache:q} --workers {threads} > {log:q} 2>&1"
