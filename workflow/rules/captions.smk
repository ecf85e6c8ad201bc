if CONFIG.caption.backend == "vllm":

    # One job for `CHUNK` parts: it starts the server once, and the server's queue never runs dry between parts.
    for name, split in splits_of(CAPTIONED):
        for some in chunks(name):

            rule:
                name:
                    f"caption_{name}_{split}_{some.start:05d}"
                input:
                    views=parts(staged("views"), name, split, some),
                    prompt=caption_prompt(),
                output:
                    captions=parts(staged("captions"), name, split, some),
                    statistics=parts(PLACES.caption_statistics, name, split, some),
                    rejects=parts(rejected("captions"), name, split, some),
                log:
                    log=f"<logs>/captions/{name}/{split}/from-part-{some.start:05d}.log",
                    server=f"<logs>/captions/{name}/{split}/from-part-{some.start:05d}.vllm.log",
                benchmark:
                    f"<timings>/captions/{name}/{split}/from-part-{some.start:05d}.tsv"
                threads: 2 + 2 * REPLICAS
                resources:
                    **family(
                        "caption_chunks",
                        mem_mb=growing(2000 + 16000 * REPLICAS),
                        runtime=growing(720),
                        gpu=REPLICAS,
                        tasks_per_gpu=0,
                        nodes=1,
                    ),
                    caption_servers=1,
                params:
                    **caption_params(),
                    cache=PLACES.caption_cache(name, split, DATASETS[name].parts, some.start),
                    known=PLACES.caption_caches(name, split),
                    output=PLACES.part("captions", name, split, 0).parent,
                    statistics=PLACES.caption_statistics(name, split, 0).parent,
                    rejects=PLACES.rejects("captions", name, split, 0).parent,
                shell:
                    "exec blendclip --log {log.log:q} caption --views {input.views:q} --prompt {input.prompt:q}"
                    " --options {params.options:q} --server {CAPTION_SERVER:q} --cache {params.cache:q}"
                    " --known {params.known:q} --server-log {log.server:q} --max-fault-fraction {FAULTS}"
                    " --output {params.output:q} --statistics {params.statistics:q} --rejects {params.rejects:q}"

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
        group:
            PART_GROUP
        resources:
            mem_mb=growing(1000),
            runtime=growing(60 if CONFIG.caption.backend == "template" else 720),
            caption_servers=int(CONFIG.caption.backend == "endpoint"),
        params:
            **caption_params(),
            cache=caption_cache,
            known=caption_caches,
        shell:
            "blendclip caption --views {input.views:q} --prompt {input.prompt:q} --options {params.options:q}"
            " --server {CAPTION_SERVER:q} --cache {params.cache:q} --known {params.known:q}"
            " --max-fault-fraction {FAULTS}"
            ' --output "$(dirname {output.captions:q})" --statistics "$(dirname {output.statistics:q})"'
            ' --rejects "$(dirname {output.rejects:q})" > {log:q} 2>&1'
