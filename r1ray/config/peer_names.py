"""Keys of TRL, verl, OpenRLHF, NeMo-RL and prime-rl, and the keys of r1ray that mean the same or come nearest.

A value is our key; where the meaning differs, the difference follows it after a semicolon. A key with NAME in it has a
name of the user's in that place. Sources: ``trl/trainer/grpo_config.py``, ``verl/trainer/config/``,
``openrlhf/cli/train_ppo_ray.py``, ``examples/configs/grpo_math_1B.yaml`` of NeMo-RL.
"""

from __future__ import annotations

_TOKENS = "learner.max_tokens_per_microbatch; ours counts the tokens of a micro-batch, not its sequences"
_ONE_PASS = "algo.minibatches_per_step; a step passes once over its groups, in so many updates"
_STEPS = "steps; ours counts steps of reinforcement learning, not passes over the prompts"
_RANKS = "learner.num_ranks; ours counts the ranks of the learner alone, engines are rollout.num_actors"
_BOTH_CLIPS = "algo.clip_low; algo.clip_high is the other side, and has to be set too"
_WARMUP = "learner.warmup_updates; ours counts updates, not a share of them"
_LENGTH = "algo.max_completion_tokens; the engines' context is data.max_prompt_tokens + algo.max_completion_tokens"
_ESTIMATOR = (
    "algo; a preset (verl, openrlhf, rloo, reinforce_pp, dr_grpo), whose parts are algo.advantage_baseline and "
    "algo.advantage_std"
)
_LEFT_OUT = "data.max_prompt_tokens; longer prompts are left out, not cut"
_GRAD_STEPS = "; ours counts steps, each of which has algo.minibatches_per_step updates"
_NUCLEUS = "algo.temperature; training samples from the whole distribution, eval.top_p is of evaluations"

_TRACKERS = "trackers; a list of names, [wandb,tensorboard]"

_COLUMNS = "data.columns; an object of names, {prompt: COLUMN, answer: COLUMN}"

TRL = {
    "chat_template_kwargs": "data.template_arguments",
    "model_name_or_path": "model",
    "dataset_name": "data.train; a file with prompts",
    "beta": "algo.kl_coefficient",
    "num_generations": "algo.group_size",
    "num_generations_eval": "eval.samples",
    "max_completion_length": "algo.max_completion_tokens",
    "max_prompt_length": _LEFT_OUT,
    "per_device_train_batch_size": _TOKENS,
    "per_device_eval_batch_size": "eval.num_prompts; ours counts the prompts of an evaluation",
    "gradient_accumulation_steps": "learner.max_tokens_per_microbatch; an update has as many micro-batches as its "
    "tokens need",
    "steps_per_generation": _ONE_PASS,
    "generation_batch_size": "algo.prompts_per_step; ours counts prompts, not completions",
    "num_iterations": _ONE_PASS,
    "epsilon": _BOTH_CLIPS,
    "epsilon_high": "algo.clip_high",
    "delta": "algo.dual_clip",
    "importance_sampling_level": "algo.ratio",
    "loss_type": "algo.aggregation; grpo is seq_mean, dapo and bnpo are token_mean, dr_grpo is fixed_length, cispo is "
    "algo=cispo",
    "scale_rewards": "algo.advantage_std; group is sample, batch is batch, none is none",
    "mask_truncated_completions": "algo.mask_truncated",
    "use_bias_correction_kl": "algo.kl_weighted",
    "entropy_coef": "algo.entropy_coefficient; ours is in the mean of algo.aggregation, which is TRL's if that is "
    "token_mean",
    "vllm_importance_sampling_correction": "algo.correction; true is token_tis, false is none",
    "vllm_importance_sampling_cap": "algo.correction_cap",
    "sync_ref_model": "algo.reference_refresh_updates; 0 is false",
    "ref_model_sync_steps": "algo.reference_refresh_updates",
    "temperature": "algo.temperature",
    "top_p": _NUCLEUS,
    "reward_weights": "reward.parts.NAME.weight; one for each part",
    "reward_funcs": "reward.parts.NAME.function; package.module:function, one for each part",
    "vllm_gpu_memory_utilization": "rollout.gpu_memory_utilization",
    "vllm_tensor_parallel_size": "rollout.gpus_per_actor",
    "vllm_max_model_length": _LENGTH,
    "learning_rate": "learner.lr",
    "lr_scheduler_type": "learner.schedule; constant, linear or cosine",
    "warmup_steps": "learner.warmup_updates",
    "warmup_ratio": _WARMUP,
    "weight_decay": "learner.weight_decay",
    "max_grad_norm": "learner.grad_clip",
    "adam_beta1": "learner.betas; both in one list, [0.9, 0.95]",
    "adam_beta2": "learner.betas; both in one list, [0.9, 0.95]",
    "adam_epsilon": "learner.epsilon",
    "bf16": "learner.dtype; bfloat16 or float32",
    "gradient_checkpointing": "learner.gradient_checkpointing",
    "deepspeed": "learner.deepspeed; settings over those that r1ray makes, and learner.zero_stage",
    "seed": "seed",
    "max_steps": "steps" + _GRAD_STEPS,
    "num_train_epochs": _STEPS,
    "save_steps": "checkpoint.every" + _GRAD_STEPS,
    "save_total_limit": "checkpoint.keep",
    "eval_steps": "eval.every" + _GRAD_STEPS,
    "run_name": "name",
    "report_to": _TRACKERS,
    "log_completions": "tracking.samples; ours counts the answers of an evaluation that trackers show",
    "lora_r": "learner.lora.rank",
}
VERL = {
    "data.prompt_key": _COLUMNS,
    "data.apply_chat_template_kwargs": "data.template_arguments",
    "data.train_files": "data.train",
    "data.val_files": "data.eval",
    "data.train_batch_size": "algo.prompts_per_step",
    "data.max_prompt_length": _LEFT_OUT,
    "data.max_response_length": "algo.max_completion_tokens",
    "actor_rollout_ref.model.path": "model",
    "actor_rollout_ref.model.enable_gradient_checkpointing": "learner.gradient_checkpointing",
    "actor_rollout_ref.model.lora_rank": "learner.lora.rank",
    "actor_rollout_ref.model.lora_alpha": "learner.lora.alpha",
    "actor_rollout_ref.model.target_modules": "learner.lora.targets",
    "actor_rollout_ref.actor.optim.lr": "learner.lr",
    "actor_rollout_ref.actor.optim.weight_decay": "learner.weight_decay",
    "actor_rollout_ref.actor.optim.lr_warmup_steps": "learner.warmup_updates",
    "actor_rollout_ref.actor.optim.lr_warmup_steps_ratio": _WARMUP,
    "actor_rollout_ref.actor.optim.warmup_style": "learner.schedule",
    "actor_rollout_ref.actor.optim.min_lr_ratio": "learner.lr_floor",
    "actor_rollout_ref.actor.grad_clip": "learner.grad_clip",
    "actor_rollout_ref.actor.ppo_mini_batch_size": "algo.minibatches_per_step; verl counts the prompts of a minibatch, "
    "ours the minibatches of a step: data.train_batch_size / ppo_mini_batch_size",
    "actor_rollout_ref.actor.ppo_micro_batch_size": _TOKENS,
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu": _TOKENS,
    "actor_rollout_ref.actor.ppo_max_token_len_per_gpu": "learner.max_tokens_per_microbatch; sequence-parallel ranks "
    "share ours",
    "actor_rollout_ref.actor.ppo_epochs": _ONE_PASS,
    "actor_rollout_ref.actor.clip_ratio": _BOTH_CLIPS,
    "actor_rollout_ref.actor.clip_ratio_low": "algo.clip_low",
    "actor_rollout_ref.actor.clip_ratio_high": "algo.clip_high",
    "actor_rollout_ref.actor.clip_ratio_c": "algo.dual_clip",
    "actor_rollout_ref.actor.loss_agg_mode": "algo.aggregation; token-mean is token_mean, seq-mean-token-mean is "
    "seq_mean, seq-mean-token-sum is seq_sum, seq-mean-token-sum-norm is fixed_length",
    "actor_rollout_ref.actor.entropy_coeff": "algo.entropy_coefficient",
    "actor_rollout_ref.actor.use_kl_loss": "algo.kl_coefficient; 0 is false",
    "actor_rollout_ref.actor.kl_loss_coef": "algo.kl_coefficient",
    "actor_rollout_ref.actor.kl_loss_type": "algo.kl_estimator; low_var_kl is k3, kl is k1, mse is k2, abs is abs",
    "actor_rollout_ref.actor.ulysses_sequence_parallel_size": "learner.sequence_parallel_size",
    "actor_rollout_ref.actor.fsdp_config.param_offload": "learner.offload_parameters",
    "actor_rollout_ref.actor.fsdp_config.optimizer_offload": "learner.offload_optimizer",
    "actor_rollout_ref.rollout.n": "algo.group_size",
    "actor_rollout_ref.rollout.temperature": "algo.temperature",
    "actor_rollout_ref.rollout.top_p": _NUCLEUS,
    "actor_rollout_ref.rollout.gpu_memory_utilization": "rollout.gpu_memory_utilization",
    "actor_rollout_ref.rollout.tensor_model_parallel_size": "rollout.gpus_per_actor",
    "actor_rollout_ref.rollout.max_num_seqs": "rollout.max_num_seqs",
    "actor_rollout_ref.rollout.max_num_batched_tokens": "rollout.max_num_batched_tokens",
    "actor_rollout_ref.rollout.max_model_len": _LENGTH,
    "actor_rollout_ref.rollout.enforce_eager": "rollout.engine_args.enforce_eager",
    "actor_rollout_ref.rollout.val_kwargs.n": "eval.samples",
    "actor_rollout_ref.rollout.val_kwargs.temperature": "eval.temperature",
    "actor_rollout_ref.rollout.val_kwargs.top_p": "eval.top_p",
    "algorithm.adv_estimator": _ESTIMATOR,
    "algorithm.norm_adv_by_std_in_grpo": "algo.advantage_std; true is sample, false is none",
    "algorithm.use_kl_in_reward": "algo.kl_placement; true is reward, false is loss",
    "algorithm.kl_penalty": "algo.kl_estimator; low_var_kl is k3, kl is k1, mse is k2, abs is abs",
    "algorithm.kl_ctrl.kl_coef": "algo.kl_coefficient; with algo.kl_placement=reward, where verl has this one",
    "algorithm.filter_groups.enable": "algo.drop_uniform",
    "custom_reward_function.path": "reward.parts.NAME.function; package.module:function",
    "custom_reward_function.name": "reward.parts.NAME.function; package.module:function",
    "trainer.total_epochs": _STEPS,
    "trainer.total_training_steps": "steps",
    "trainer.save_freq": "checkpoint.every; 0 is never, not -1",
    "trainer.test_freq": "eval.every; 0 is only before and after training, not -1",
    "trainer.max_actor_ckpt_to_keep": "checkpoint.keep",
    "trainer.n_gpus_per_node": _RANKS,
    "trainer.nnodes": _RANKS,
    "trainer.experiment_name": "name",
    "trainer.logger": _TRACKERS,
    "trainer.project_name": "tracking.project",
    "trainer.log_val_generations": "tracking.samples",
    "trainer.default_local_dir": "output_dir",
}
OPENRLHF = {
    "pretrain": "model",
    "prompt_data": "data.train; a file with prompts",
    "eval_dataset": "data.eval; a file with prompts",
    "apply_chat_template": "data.template; true is chat, false is none",
    "input_key": _COLUMNS,
    "label_key": _COLUMNS,
    "save_path": "output_dir",
    "ckpt_path": "output_dir",
    "actor_learning_rate": "learner.lr",
    "lr_scheduler": "learner.schedule; constant, linear or cosine",
    "lr_warmup_ratio": _WARMUP,
    "adam_betas": "learner.betas; a list, [0.9, 0.95]",
    "l2": "learner.weight_decay",
    "max_norm": "learner.grad_clip",
    "n_samples_per_prompt": "algo.group_size",
    "eval_n_samples_per_prompt": "eval.samples",
    "eval_temperature": "eval.temperature",
    "init_kl_coef": "algo.kl_coefficient; without --use_kl_loss also algo.kl_placement=reward",
    "use_kl_loss": "algo.kl_placement; true is loss, false is reward",
    "kl_estimator": "algo.kl_estimator",
    "eps_clip": _BOTH_CLIPS,
    "eps_clip_low_high": _BOTH_CLIPS,
    "dual_clip": "algo.dual_clip",
    "rollout_batch_size": "algo.prompts_per_step",
    "train_batch_size": "algo.minibatches_per_step; OpenRLHF counts the samples of an update, ours the updates of a "
    "step: rollout_batch_size * n_samples_per_prompt / train_batch_size",
    "micro_train_batch_size": _TOKENS,
    "micro_rollout_batch_size": "rollout.max_num_seqs; ours counts the sequences that an engine generates at a time",
    "train_max_tokens_per_gpu": "learner.max_tokens_per_microbatch; sequence-parallel ranks share ours",
    "max_epochs": _ONE_PASS,
    "num_episodes": _STEPS,
    "generate_max_len": "algo.max_completion_tokens",
    "prompt_max_len": _LEFT_OUT,
    "max_len": _LENGTH,
    "vllm_num_engines": "rollout.num_actors",
    "vllm_tensor_parallel_size": "rollout.gpus_per_actor",
    "vllm_gpu_memory_utilization": "rollout.gpu_memory_utilization",
    "vllm_sync_backend": "weights.backend",
    "enforce_eager": "rollout.engine_args.enforce_eager",
    "enable_vllm_is_correction": "algo.correction; true is token_tis, false is none",
    "vllm_is_truncated_threshold": "algo.correction_cap",
    "async_train": "algo.max_staleness; 0 is false",
    "async_queue_size": "algo.max_staleness; ours counts policy versions",
    "actor_num_gpus_per_node": _RANKS,
    "actor_num_nodes": _RANKS,
    "zero_stage": "learner.zero_stage",
    "adam_offload": "learner.offload_optimizer",
    "ring_attn_size": "learner.sequence_parallel_size; ours is DeepSpeed's Ulysses",
    "lora_rank": "learner.lora.rank",
    "lora_alpha": "learner.lora.alpha",
    "target_modules": "learner.lora.targets",
    "advantage_estimator": _ESTIMATOR,
    "no_advantage_std_norm": "algo.advantage_std; true is none",
    "dynamic_filtering": "algo.drop_uniform",
    "remote_rm_url": "reward.parts.NAME.function; package.module:function",
    "max_ckpt_num": "checkpoint.keep",
    "use_wandb": _TRACKERS,
    "use_tensorboard": _TRACKERS,
    "wandb_project": "tracking.project",
}
NEMO_RL = {
    "grpo.num_prompts_per_step": "algo.prompts_per_step",
    "grpo.num_generations_per_prompt": "algo.group_size",
    "grpo.max_num_steps": "steps",
    "grpo.max_num_epochs": _STEPS,
    "grpo.val_period": "eval.every",
    "grpo.max_val_samples": "eval.num_prompts",
    "grpo.normalize_rewards": "algo.advantage_std; true is others, false is none",
    "grpo.use_leave_one_out_baseline": "algo.advantage_baseline; true is leave_one_out, false is group",
    "grpo.overlong_filtering": "algo.mask_truncated",
    "grpo.use_dynamic_sampling": "algo.drop_uniform",
    "grpo.reward_shaping.overlong_buffer_length": "algo.overlong_share; ours is a share of algo.max_completion_tokens",
    "grpo.async_grpo.max_trajectory_age_steps": "algo.max_staleness",
    "loss_fn.reference_policy_kl_penalty": "algo.kl_coefficient",
    "loss_fn.ratio_clip_min": "algo.clip_low",
    "loss_fn.ratio_clip_max": "algo.clip_high",
    "loss_fn.ratio_clip_c": "algo.dual_clip",
    "loss_fn.token_level_loss": "algo.aggregation; true is token_mean, false is seq_mean",
    "loss_fn.sequence_level_importance_ratios": "algo.ratio; true is sequence, false is token",
    "logger.wandb_enabled": _TRACKERS,
    "logger.tensorboard_enabled": _TRACKERS,
    "logger.mlflow_enabled": _TRACKERS,
    "logger.wandb.project": "tracking.project",
    "checkpointing.save_period": "checkpoint.every",
    "checkpointing.keep_top_k": "checkpoint.keep; ours keeps the newest, and checkpoint.best the best one",
    "checkpointing.checkpoint_dir": "output_dir",
    "policy.model_name": "model",
    "policy.train_global_batch_size": "algo.minibatches_per_step; NeMo-RL counts the samples of an update, ours the "
    "updates of a step",
    "policy.train_micro_batch_size": _TOKENS,
    "policy.max_total_sequence_length": _LENGTH,
    "policy.max_grad_norm": "learner.grad_clip",
    "policy.precision": "learner.dtype",
    "policy.generation.temperature": "algo.temperature",
}
PRIME_RL = {
    "orchestrator.rollouts_per_example": "algo.group_size",
    "orchestrator.sampling.temperature": "algo.temperature",
    "max_async_level": "algo.max_staleness",
}
PEERS = {"TRL": TRL, "verl": VERL, "OpenRLHF": OPENRLHF, "NeMo-RL": NEMO_RL, "prime-rl": PRIME_RL}


TOO_SHORT = {"name", "path", "enable", "type"}
"""Ends of keys that say nothing by themselves."""


def ours(key: str) -> list[tuple[str, str, str]]:
    """Return peer, its key, and our key with the difference, for each peer with a key that ends as ``key`` does.

    The longest end counts: ``data.train_batch_size`` is verl's, ``train_batch_size`` alone also OpenRLHF's. Of several
    keys of one peer the shortest is meant.

    >>> ours("algo.num_generations")
    [('TRL', 'num_generations', 'algo.group_size')]
    >>> ours("rollout.n")
    [('verl', 'actor_rollout_ref.rollout.n', 'algo.group_size')]
    """
    names = key.split(".")
    for length in range(len(names), 0, -1):
        end = ".".join(names[-length:])
        if end in TOO_SHORT:
            return []
        ending = {peer: [each for each in table if f".{each}".endswith(f".{end}")] for peer, table in PEERS.items()}
        found = {peer: min(keys, key=len) for peer, keys in ending.items() if keys}
        if found:
            return [(peer, theirs, PEERS[peer][theirs]) for peer, theirs in found.items()]
    return []
