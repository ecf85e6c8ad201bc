# One job for each dataset and split: a large CLIP takes longer to load than a part takes to embed. OpenShape holds no
# pictures; its reader writes the features that it brings along.
for name, dataset in embedded_datasets().items():
    for split in dataset["splits"] if dataset["format"] != "openshape" else []:
        place = f"{name}/{split}"
        part_names = [f"part-{part:05d}" for part in range(dataset["parts"])]

        rule:
            name:
                f"embed_{name}_{split}"
            input:
                views=expand(f"{RESULTS}/views/{place}/{{part}}.parquet", part=part_names),
                captions=expand(f"{RESULTS}/captions/{place}/{{part}}.parquet", part=part_names),
                weights=clip_files,
            output:
                expand(f"{RESULTS}/embeddings/{CLIP_NAME}/{place}/{{part}}.parquet", part=part_names),
            log:
                f"<logs>/embeddings/{CLIP_NAME}/{place}.log",
            benchmark:
                f"<benchmarks>/embeddings/{CLIP_NAME}/{place}.tsv"
            threads: 32
            resources:
                mem_mb=8000,
                clip_jobs=1,
            params:
                clip=clip_options(),
                output=f"{RESULTS}/embeddings/{CLIP_NAME}/{place}",
                cache=f"{RESULTS}/caches/embeddings/{CLIP_NAME}/{place}",
                stage_version=STAGE_VERSIONS["embeddings"],
            shell:
                "blendclip embed --views {input.views:q} --captions {input.captions:q} {params.clip}"
                " --output {params.output:q} --cache {params.cache:q} --workers {threads} > {log:q} 2>&1"
