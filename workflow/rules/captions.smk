if CAPTION["backend"] == "vllm":

    # One job for each dataset and split: it starts the server once, and the server's queue never runs dry between parts.
    for name, dataset in mined_datasets().items():
        for split in dataset["splits"]:
            place = f"{name}/{split}"
            part_names = [f"part-{part:05d}" for part in range(dataset["parts"])]

            rule:
                name:
                    f"caption_{name}_{split}"
                input:
                    views=expand(f"{RESULTS}/views/{place}/{{part}}.parquet", part=part_names),
                    prompt=caption_prompt(),
                output:
                    captions=expand(f"{RESULTS}/captions/{place}/{{part}}.parquet", part=part_names),
                    statistics=expand(f"{RESULTS}/captions/{place}/{{part}}.stats.json", part=part_names),
                    rejects=expand(f"{RESULTS}/rejects/{place}/{{part}}.captions.parquet", part=part_names),
                log:
                    log=f"{RESULTS}/logs/captions/{place}.log",
                    server=f"{RESULTS}/logs/captions/{place}.vllm.log",
                benchmark:
                    f"{RESULTS}/benchmarks/captions/{place}.tsv"
                threads: 2
                resources:
                    mem_mb=2000,
                    caption_servers=1,
                    gpu=CAPTION["vllm"]["data_parallel_size"],
                params:
                    **caption_params(),
                    output=f"{RESULTS}/captions/{place}",
                    rejects=f"{RESULTS}/rejects/{place}",
                shell:
                    "blendclip caption --views {input.views} --prompt {input.prompt} {params.options}"
                    " --max-fault-fraction {params.max_fault_fraction} {CAPTION_SERVER} --server-log {log.server}"
                    " --output {params.output} --rejects {params.rejects} 2>&1 | tee {log.log}"

else:

    rule caption_views:
        input:
            views=RESULTS + "/views/{dataset}/{split}/part-{part}.parquet",
            prompt=caption_prompt(),
        output:
            captions=RESULTS + "/captions/{dataset}/{split}/part-{part}.parquet",
            statistics=RESULTS + "/captions/{dataset}/{split}/part-{part}.stats.json",
            rejects=RESULTS + "/rejects/{dataset}/{split}/part-{part}.captions.parquet",
        log:
            RESULTS + "/logs/captions/{dataset}/{split}/part-{part}.log",
        benchmark:
            RESULTS + "/benchmarks/captions/{dataset}/{split}/part-{part}.tsv"
        resources:
            mem_mb=1000,
            caption_servers=int(CAPTION["backend"] == "endpoint"),
        params:
            **caption_params(),
            output=RESULTS + "/captions/{dataset}/{split}",
            rejects=RESULTS + "/rejects/{dataset}/{split}",
        shell:
            "blendclip caption --views {input.views} --prompt {input.prompt} {params.options}"
            " --max-fault-fraction {params.max_fault_fraction} {CAPTION_SERVER}"
            " --output {params.output} --rejects {params.rejects} > {log} 2>&1"
