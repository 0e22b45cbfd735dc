{{/* What a schema cannot say. Nothing is printed. */}}
{{- define "gleand.checks" -}}
{{- $requests := dig "requests" dict (.Values.resources | default dict) -}}
{{- $limits := dig "limits" dict (.Values.resources | default dict) -}}
{{- if or (not $limits.memory) (ne (toString $requests.memory) (toString $limits.memory)) -}}
{{- $why := "must both be given and be equal: what a pod uses beyond its request is taken back by killing it" -}}
{{- fail (printf "resources.requests.memory (%v) and resources.limits.memory (%v) %s"
    ($requests.memory | default "none") ($limits.memory | default "none") $why) -}}
{{- end -}}
{{- if not (or $requests.cpu $limits.cpu (hasKey (get (.Values.config | default dict) "compute" | default dict) "cores")) -}}
{{- fail (print "resources.requests.cpu, resources.limits.cpu or config.compute.cores must be given: "
    "the daemon would score with every core of the node") -}}
{{- end -}}
{{- if and (eq .Values.model.source "image") (semverCompare "<1.35.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "model.source image needs Kubernetes 1.35, and this is %s, which drops the volume in silence. Use pvc or init"
    .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if hasPrefix "GLEAND__" .name -}}
{{- $key := trimPrefix "GLEAND__" .name | lower | splitList "__" | join "." -}}
{{- fail (printf "extraEnv: %s would win over the file that the chart writes; give config.%s" .name $key) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.tls.clientCaKey (not .Values.tls.existingSecret) -}}
{{- fail "tls.clientCaKey is a key of tls.existingSecret, which is not given: without TLS no client shows a certificate" -}}
{{- end -}}
{{- range $name, $of := .Values.autoscaling -}}
{{- if and $of.enabled (gt (int $of.minReplicas) (int $of.maxReplicas)) -}}
{{- fail (printf "autoscaling.%s.minReplicas is %d, more than autoscaling.%s.maxReplicas, which is %d"
    $name (int $of.minReplicas) $name (int $of.maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- $update := .Values.strategy.rollingUpdate -}}
{{- $still := and (regexMatch "^0%?$" (toString $update.maxSurge)) (regexMatch "^0%?$" (toString $update.maxUnavailable)) -}}
{{- if and $still (eq .Values.strategy.type "RollingUpdate") -}}
{{- fail "strategy.rollingUpdate: maxSurge and maxUnavailable are both 0, so no pod could be replaced" -}}
{{- end -}}
{{- if eq (include "gleand.port" (list . "server")) (include "gleand.port" (list . "admin")) -}}
{{- fail "config.server.listen and config.admin.listen have the same port" -}}
{{- end -}}
{{- range $name := list "serviceMonitor" "podMonitor" -}}
{{- $of := get $.Values.monitoring $name -}}
{{- $timeout := include "gleand.millis" $of.scrapeTimeout | int64 -}}
{{- if and $of.enabled (gt $timeout (include "gleand.millis" $of.interval | int64)) -}}
{{- fail (printf "monitoring.%s.scrapeTimeout, %s, is longer than its interval, %s" $name $of.scrapeTimeout $of.interval) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Milliseconds of a time such as 1m30s. */}}
{{- define "gleand.millis" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 -}}
{{- $sum := 0 -}}
{{- range regexFindAll "[0-9]+[a-z]+" . -1 -}}
{{- $sum = add $sum (mul (regexFind "[0-9]+" . | int64) (get $units (regexFind "[a-z]+" .))) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}
