# One job for `CHUNK` parts, since a large CLIP takes longer to load than a part takes to embed. OpenShape holds no images;
# its reader writes the features that it brings along.
for name, split in splits_of(DATASETS):
    if DATASETS[name].format.name != "openshape":
        for some in chunks(name):

            rule:
                name:
                    f"embed_{name}_{split}_{some.start:05d}"
                input:
                    views=parts(staged("views"), name, split, some),
                    captions=parts(staged("captions"), name, split, some),
                    weights=clip_files,
                output:
                    parts(embedded, name, split, some),
                log:
                    f"<logs>/embeddings/{CLIP}/{name}/{split}/from-part-{some.start:05d}.log",
                benchmark:
                    f"<timings>/embeddings/{CLIP}/{name}/{split}/from-part-{some.start:05d}.tsv"
                threads: 16
                resources:
                    **family("embed_views", mem_mb=growing(8000), runtime=growing(240), gpu=0, tasks_per_gpu=0, nodes=1),
                    clip_jobs=1,
                params:
                    clip=as_json(CONFIG.clip),
                    output=PLACES.embeddings(CLIP, name, split, 0).parent,
                    cache=PLACES.embedding_cache(CLIP, name, split, some.start),
                    stage_version=STAGE_VERSIONS["embeddings"],
                shell:
                    "blendclip embed --views {input.views:q} --captions {input.captions:q} --clip {params.clip:q}"
                    " --output {params.output:q} --cache {params.cache:q} --workers {threads} > {log:q} 2>&1"
