{{- define "gleand.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 53 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 53 characters: names of Services end at 63, and "-headless" and "-dashboard" come behind it. */}}
{{- define "gleand.fullname" -}}
{{- $name := printf "%s-%s" .Release.Name (include "gleand.name" .) -}}
{{- if .Values.fullnameOverride -}}
{{- $name = .Values.fullnameOverride -}}
{{- else if contains (include "gleand.name" .) .Release.Name -}}
{{- $name = .Release.Name -}}
{{- end -}}
{{- $name = $name | trunc 53 | trimSuffix "-" -}}
{{- if not (regexMatch "^[a-z][-a-z0-9]*$" $name) -}}
{{- fail (printf "no Service can be called %s: letters, digits and hyphens, a letter first. Give fullnameOverride" $name) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{- define "gleand.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "gleand.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{/* What never changes in the life of a release: a Deployment's selector cannot be changed. */}}
{{- define "gleand.selectorLabels" -}}
app.kubernetes.io/name: {{ include "gleand.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* Labels of an object: (list ROOT EXTRA). The extra ones win over ours, and ours over commonLabels. */}}
{{- define "gleand.labels" -}}
{{- $root := index . 0 -}}
{{- $ours := include "gleand.selectorLabels" $root | fromYaml -}}
{{- $_ := set $ours "app.kubernetes.io/version" $root.Chart.AppVersion -}}
{{- $_ := set $ours "app.kubernetes.io/managed-by" $root.Release.Service -}}
{{- $chart := printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- $_ := set $ours "helm.sh/chart" $chart -}}
{{- toYaml (merge (deepCopy (index . 1)) $ours (deepCopy $root.Values.commonLabels)) -}}
{{- end -}}

{{/* Labels of the pods: without the chart's version, which would restart them for nothing. */}}
{{- define "gleand.podLabels" -}}
{{- $ours := include "gleand.selectorLabels" . | fromYaml -}}
{{- $_ := set $ours "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- toYaml (merge $ours (deepCopy .Values.podLabels) (deepCopy .Values.commonLabels)) -}}
{{- end -}}

{{/* The test's pod is not one of the Service's pods, so its name differs. */}}
{{- define "gleand.testLabels" -}}
app.kubernetes.io/name: {{ include "gleand.name" . }}-test
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "gleand.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}
