#!/usr/bin/env bash
# A run on Kubernetes, from its manifests to its end.   usage: launch/kuberay.sh OVERLAY
#
#   launch/kuberay.sh 8x8            apply k8s/overlays/8x8, follow the log, end with the run's exit code, delete the run
#   launch/kuberay.sh ../my-overlay  the same of a folder
#
# Ctrl-C only stops following: the run goes on, and the same command follows it again. What is deleted is the run with
# its pods; storage, namespace and network policies stay. A run that is to end early, with a checkpoint, and to go on
# another day:  kubectl -n r1ray patch rayjob r1ray --type merge -p '{"spec": {"suspend": true}}'   (or false).
set -euo pipefail
overlay=${1:?usage: launch/kuberay.sh OVERLAY}
start_s=${START_S:-3600} # to be admitted, scheduled, pulled and started
poll_s=${POLL_S:-5}
here=$(cd "$(dirname "$0")/.." && pwd)
folder=$here/k8s/overlays/$overlay
[ -d "$folder" ] || folder=$overlay
if [ ! -f "$folder/kustomization.yaml" ]; then
    echo "kuberay.sh: $overlay: no such overlay; needs a folder with a kustomization.yaml, or one of" \
        "$(cd "$here/k8s/overlays" && echo *)" >&2
    exit 2
fi

rendered=$(kubectl kustomize "$folder")
# kubectl applies what it can and then fails for a kind that the cluster does not have: so that is looked at before.
known=$(kubectl api-resources --no-headers | awk '{ sub(/\/?v[0-9a-z]+$/, "", $(NF - 2)); print $(NF - 2) "/" $NF }') || true
missing=$(awk '/^apiVersion: / { group = $2; sub(/\/?v[0-9a-z]+$/, "", group) } /^kind: / { print group "/" $2 }' \
    <<<"$rendered" | sort -u | grep -vxF "$known") || true
if [ -z "$known" ]; then
    echo "kuberay.sh: needs a cluster that kubectl reaches (kubectl api-resources)" >&2
    exit 2
elif [ -n "$missing" ]; then
    echo "kuberay.sh: the cluster has no ${missing//$'\n'/, }: needs KubeRay for ray.io, the Prometheus operator for" \
        "monitoring.coreos.com (or an overlay without components/monitor). Nothing was applied." >&2
    exit 2
fi
# The namespace has to be there before what is in it, and kustomize writes it first.
kubectl apply -f - <<<"$rendered" || {
    echo "kuberay.sh: not all of $overlay was applied, see above. What was applied is there still, and the run with it" \
        "where that is among it: the same command goes on, and kubectl delete rayjob ends it." >&2
    exit 1
}
# Of the one RayJob: name and namespace.
read -r job namespace < <(kubectl get -f - -o \
    jsonpath='{range .items[?(@.kind=="RayJob")]}{.metadata.name} {.metadata.namespace}{"\n"}{end}' <<<"$rendered") || true
if [ -z "${job:-}" ]; then
    echo "kuberay.sh: $overlay has no RayJob: the cluster was applied, and there is nothing to follow" >&2
    exit 0
fi
status() { kubectl --namespace "$namespace" get rayjob "$job" -o jsonpath="{.status.$1}"; }
trap 'echo "kuberay.sh: $job goes on; the same command follows it again" >&2; exit 130' INT TERM

deadline=$((SECONDS + start_s))
while true; do
    case $(status jobDeploymentStatus) in
    Running)
        # The pod that submitted the job writes the job's log. One that is started again follows it from the beginning.
        kubectl --namespace "$namespace" logs --follow "job/$job" || true
        deadline=$((SECONDS + start_s)) # lost connections and new attempts (spec.backoffLimit) begin anew
        ;;
    Complete | Failed | ValidationFailed) break ;;
    *)
        if [ $SECONDS -ge $deadline ]; then
            echo "kuberay.sh: $job was not started within $start_s s: it is '$(status jobDeploymentStatus)'." \
                "Look at: kubectl --namespace $namespace describe rayjob $job; kubectl --namespace $namespace get pods" >&2
            exit 1
        fi
        ;;
    esac
    sleep "$poll_s"
done

# Ray says how the command ended in the first line of its message. 3: a fault ended it before it could.
code=3
message=$(status message)
case $(status jobStatus) in
SUCCEEDED) code=0 ;;
STOPPED) code=143 ;;
*)
    [[ $message =~ failed\ with\ exit\ code\ ([0-9]+) ]] && code=${BASH_REMATCH[1]}
    echo "kuberay.sh: $job: $(status jobDeploymentStatus): ${message%%$'\n'*}" >&2
    ;;
esac
kubectl --namespace "$namespace" delete rayjob "$job" >&2
exit "$code"
