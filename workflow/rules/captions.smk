if CONFIG.caption.backend == "vllm":

    # One job for each dataset and split: it starts the server once, and the server's queue never runs dry between parts.
    for name, split in splits_of(CAPTIONED):

        rule:
            name:
                f"caption_{name}_{split}"
            input:
                views=parts(staged("views"), name, split),
                prompt=caption_prompt(),
            output:
                captions=parts(staged("captions"), name, split),
                statistics=parts(PLACES.caption_statistics, name, split),
                rejects=parts(rejected("captions"), name, split),
            log:
                log=f"<logs>/captions/{name}/{split}.log",
                server=f"<logs>/captions/{name}/{split}.vllm.log",
            benchmark:
                f"<timings>/captions/{name}/{split}.tsv"
            threads: 2
            resources:
                mem_mb=2000,
                caption_servers=1,
                gpu=CONFIG.caption.vllm.data_parallel_size,
            params:
                **caption_params(),
                cache=PLACES.caption_cache(),
                output=PLACES.part("captions", name, split, 0).parent,
                statistics=PLACES.caption_statistics(name, split, 0).parent,
                rejects=PLACES.rejects("captions", name, split, 0).parent,
            shell:
                "exec blendclip --log {log.log:q} caption --views {input.views:q} --prompt {input.prompt:q}"
                " --options {params.options:q} --server {CAPTION_SERVER:q} --cache {params.cache:q}"
                " --server-log {log.server:q} --max-fault-fraction {FAULTS} --output {params.output:q}"
                " --statistics {params.statistics:q} --rejects {params.rejects:q}"

else:

    rule caption_views:
        input:
            views=PLACES.part("views", "{dataset}", "{split}", "{part}"),
            prompt=caption_prompt(),
        output:
            captions=PLACES.part("captions", "{dataset}", "{split}", "{part}"),
            statistics=PLACES.caption_statistics("{dataset}", "{split}", "{part}"),
            rejects=PLACES.rejects("captions", "{dataset}", "{split}", "{part}"),
        log:
            "<logs>/captions/{dataset}/{split}/part-{part}.log",
        benchmark:
            "<timings>/captions/{dataset}/{split}/part-{part}.tsv"
        wildcard_constraints:
            dataset="|".join(CAPTIONED),
        resources:
            mem_mb=1000,
            caption_servers=int(CONFIG.caption.backend == "endpoint"),
        params:
            **caption_params(),
            cache=PLACES.caption_cache(),
        shell:
            "blendclip caption --views {input.views:q} --prompt {input.prompt:q} --options {params.options:q}"
            " --server {CAPTION_SERVER:q} --cache {params.cache:q} --max-fault-fraction {FAULTS}"
            ' --output "$(dirname {output.captions:q})" --statistics "$(dirname {output.statistics:q})"'
            ' --rejects "$(dirname {output.rejects:q})" > {log:q} 2>&1'
