rule write_recipe:
    output:
        PLACES.recipe("{run}"),
    log:
        "<logs>/runs/{run}.recipe.log",
    localrule: True
    params:
        recipe=run_recipe,
    shell:
        "blendclip recipe {params.recipe:q} --output {output:q} > {log:q} 2>&1"


rule embed_classes:
    input:
        classes=PROMPTS / "classes" / "{classes}.yaml",
        templates=PROMPTS / "templates" / "{templates}.yaml",
        weights=clip_files,
    output:
        PLACES.class_weights("{clip}", "{classes}", "{templates}"),
    log:
        "<logs>/embeddings/{clip}/classes/{classes}.{templates}.log",
    benchmark:
        "<timings>/embeddings/{clip}/classes/{classes}.{templates}.tsv"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        clip=clip_options,
        stage_version=STAGE_VERSIONS["class_weights"],
    shell:
        "blendclip embed-classes --classes {input.classes:q} --templates {input.templates:q} --clip {params.clip:q}"
        " --output {output:q} > {log:q} 2>&1"


# Checkpoints, log and TensorBoard of a run under way are in its folder `training`, which is no output: a run that was
# killed goes on from there. Each recipe has a folder of its own in it, so that a changed one trains anew.
rule train_run:
    input:
        recipe=PLACES.recipe("{run}"),
        packed=run_packed,
        weights=run_weights,
        classes=run_classes,
    output:
        model=PLACES.model_weights("{run}"),
        about=PLACES.model_about("{run}"),
        log=PLACES.metrics_log("{run}"),
    log:
        "<logs>/runs/{run}.log",
    benchmark:
        "<timings>/runs/{run}.tsv"
    threads: 8
    resources:
        mem_mb=growing(8000),
        mem_mb_per_cpu=growing(2000),  # of a cluster, where it goes before mem_mb: it grows with the GPUs
        cpus_per_gpu=6,  # one trains and four read ahead
        runtime=growing(1440),
        gpu=0,  # on all nodes together
        nodes=1,
        tasks_per_gpu=0,  # one task, which starts a process for each GPU
        training_jobs=1,
    params:
        results=CONFIG.results,
        gpus=gpus_of_node,
        stage_version=STAGE_VERSIONS["runs"],
    shell:
        "exec blendclip --log {log:q} train --recipe {input.recipe:q} --results {params.results:q} --threads {threads}"
        " --nodes {resources.nodes} --gpus {params.gpus} --workers $(({resources.gpu} > 0 ? 4 : 0))"
        ' --output "$(dirname {output.model:q})"'
