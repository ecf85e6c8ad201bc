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
                    log=f"<logs>/captions/{place}.log",
                    server=f"<logs>/captions/{place}.vllm.log",
                benchmark:
                    f"<benchmarks>/captions/{place}.tsv"
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
                    "blendclip caption --views {input.views:q} --prompt {input.prompt:q} {params.options}"
                    " --max-fault-fraction {config[max_fault_fraction]} {CAPTION_SERVER} --server-log {log.server:q}"
                    " --output {params.output:q} --rejects {params.rejects:q} 2>&1 | tee {log.log:q}"

else:

    rule caption_views:
        input:
            views="<results>/views/{dataset}/{split}/part-{part}.parquet",
            prompt=caption_prompt(),
        output:
            captions="<results>/captions/{dataset}/{split}/part-{part}.parquet",
            statistics="<results>/captions/{dataset}/{split}/part-{part}.stats.json",
            rejects="<results>/rejects/{dataset}/{split}/part-{part}.captions.parquet",
        log:
            "<logs>/captions/{dataset}/{split}/part-{part}.log",
        benchmark:
            "<benchmarks>/captions/{dataset}/{split}/part-{part}.tsv"
        resources:
            mem_mb=1000,
            caption_servers=int(CAPTION["backend"] == "endpoint"),
        params:
            **caption_params(),
        shell:
            "blendclip caption --views {input.views:q} --prompt {input.prompt:q} {params.options}"
            " --max-fault-fraction {config[max_fault_fraction]} {CAPTION_SERVER}"
            ' --output "$(dirname {output.captions:q})" --rejects "$(dirname {output.rejects:q})" > {log:q} 2>&1'
