#!/usr/bin/env bash
# Train experiments on a SLURM cluster: a task of a job array each, in a Git worktree of its own over one DVC cache.
#
#     scripts/slurm.sh --gres=gpu:1 --time=4:00:00 plain-20-cifar10 resnet-20-cifar10
#
# Options (written --option=value) go to sbatch. Prepares the data, submits the array, and prints the command that
# brings all results into this folder afterwards. A task that is killed is queued again and goes on from its
# checkpoints, RETRIES times (5). docs/cluster.md says more.
#SBATCH --requeue --open-mode=append --output=runs/slurm/%A_%a.log
#SBATCH --signal=B:USR1@60
set -euo pipefail

fail() { echo "scripts/slurm.sh: $1" >&2 && exit 2; }

if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then # on a node: the names are the arguments, as submitted below
  name=${*:SLURM_ARRAY_TASK_ID+1:1}
  [ -n "$name" ] || fail "task $SLURM_ARRAY_TASK_ID has no experiment: submit again, with --array up to $(($# - 1))"
  cd "runs/slurm/$name"
  rm -f .dvc/tmp/rwlock # names processes that were killed, perhaps those of another node
  why="it failed, see above"
  trap 'why="its time limit was near"' USR1 # `wait` ends, and the task is queued again if a try is left
  set -m                # dvc and what it starts are a process group
  { dvc repro "evaluate@$name" && dvc commit --force "evaluate@$name"; } & # `commit` puts it into the run-cache
  wait $! && exit
  kill -KILL -- -$! 2>/dev/null || true # training would go on without dvc, and be in the way of the next try
  if [ "${SLURM_RESTART_COUNT:-0}" -lt "${RETRIES:-5}" ]; then
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
  else
    echo "scripts/slurm.sh: $name: $why; no try is left: submit it again, and it goes on" >&2
  fi
  exit 1
fi

cd "$(dirname "$0")/.."
options=()
while [[ ${1:-} == -* ]]; do options+=("$1") && shift; done
[ $# -gt 0 ] || fail "name experiments: scripts/slurm.sh [--option=value ...] experiment ... (options go to sbatch)"
command -v sbatch >/dev/null || fail "there is no sbatch here; run this where SLURM's jobs are submitted"
command -v dvc >/dev/null || fail "there is no dvc here; activate the project's Python environment first"
[[ ${RETRIES:-5} =~ ^[0-9]+$ ]] || fail "RETRIES should be a whole number, not '$RETRIES'"
changes=$(git status --porcelain -- src '*.yaml' 2>/dev/null) || fail "tasks need a Git clone, and \`git status\` fails here"
[ -z "$changes" ] || fail "commit your changes: tasks train what is committed"

dvc repro recipes
twice=$(printf '%s\n' "$@" | sort | uniq -d)
[ -z "$twice" ] || fail "named twice: ${twice//$'\n'/ }"
for name; do [ -f "recipes/experiments/$name.json" ] || fail "experiments.yaml has no experiment '$name'"; done
# shellcheck disable=SC2046 # names of stages have no spaces
dvc repro $(sed -n 's/.*"dataset": "\(.*\)".*/preprocess@\1/p' $(printf "recipes/experiments/%s.json " "$@") | sort -u)
cache=$(dvc cache dir)
for name; do
  tree=runs/slurm/$name
  [ -e "$tree/.git" ] || git worktree add --quiet --force --detach "$tree"
  git -C "$tree" reset --quiet --hard "$(git rev-parse HEAD)" # runs/ stays, with the checkpoints
  [ ! -f .dvc/config.local ] || cp .dvc/config.local "$tree/.dvc/"
  dvc --cd "$tree" cache dir --local "$cache"
done
job=$(sbatch --parsable --array="0-$(($# - 1))" ${options[@]+"${options[@]}"} scripts/slurm.sh "$@")
echo "job $job, $# tasks; logs: runs/slurm/${job}_*.log; once squeue --me is empty:"
echo "dvc repro ${*/#/evaluate@}"
