{{/* What the restricted pod security standard asks of a container. */}}
{{- define "gleand.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "gleand.env" -}}
{{- $cores := hasKey (get (.Values.config | default dict) "compute" | default dict) "cores" -}}
{{- $all := list -}}
{{- if not (or $cores (dig "limits" "cpu" "" .Values.resources)) -}}
{{- /* Rounded up. With a limit the daemon reads the quota of its cgroup; without, it would see every core of the node. */ -}}
{{- $of := dict "containerName" "gleand" "resource" "requests.cpu" "divisor" "1" -}}
{{- $all = append $all (dict "name" "GLEAND__COMPUTE__CORES" "valueFrom" (dict "resourceFieldRef" $of)) -}}
{{- end -}}
{{- with concat $all .Values.extraEnv -}}
env:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* The mounts of the daemon. Its file is mounted by itself, as a folder within the folder of a ConfigMap cannot be made. It is
looked up at each start of the container: one that is started again during an upgrade has the new file with the old image. */}}
{{- define "gleand.volumeMounts" -}}
- name: config
  mountPath: /etc/gleand/gleand.toml
  subPath: gleand.toml
  readOnly: true
{{- if .Values.tls.existingSecret }}
- name: tls
  mountPath: /etc/gleand/tls
  readOnly: true
{{- end }}
{{- if .Values.auth.existingSecret }}
- name: auth
  mountPath: /etc/gleand/auth
  readOnly: true
{{- end }}
{{- if .Values.otlp.caSecret.name }}
- name: otlp-ca
  mountPath: /etc/gleand/otlp/ca
  readOnly: true
{{- end }}
{{- if .Values.otlp.headersSecret.name }}
- name: otlp-headers
  mountPath: /etc/gleand/otlp/headers
  readOnly: true
{{- end }}
{{- include "gleand.model.mount" . }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A volume of some keys of a secret: (list NAME SECRET KEY...). Mode 0440, as its files belong to root and to the group of
podSecurityContext.fsGroup. */}}
{{- define "gleand.secretVolume" -}}
- name: {{ index . 0 }}
  secret:
    secretName: {{ index . 1 | quote }}
    defaultMode: 0440
    items:
      {{- range slice . 2 | compact | uniq }}
      - key: {{ . | quote }}
        path: {{ . | quote }}
      {{- end }}
{{- end -}}

{{- define "gleand.volumes" -}}
- name: config
  configMap:
    name: {{ include "gleand.fullname" . }}
{{- with .Values.tls }}
{{- if .existingSecret }}
{{ include "gleand.secretVolume" (list "tls" .existingSecret .certKey .keyKey .clientCaKey) }}
{{- end }}
{{- end }}
{{- with .Values.auth }}
{{- if .existingSecret }}
{{ include "gleand.secretVolume" (list "auth" .existingSecret .key) }}
{{- end }}
{{- end }}
{{- with .Values.otlp.caSecret }}
{{- if .name }}
{{ include "gleand.secretVolume" (list "otlp-ca" .name .key) }}
{{- end }}
{{- end }}
{{- with .Values.otlp.headersSecret }}
{{- if .name }}
{{ include "gleand.secretVolume" (list "otlp-headers" .name .key) }}
{{- end }}
{{- end }}
{{- include "gleand.model.volume" . }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* `affinity`, and the rule that nodes have a processor the image is built for. Terms of a required rule are alternatives, so
the rule goes into each of them. */}}
{{- define "gleand.affinity" -}}
{{- $affinity := deepCopy .Values.affinity -}}
{{- with .Values.architectures -}}
{{- $rule := dict "key" "kubernetes.io/arch" "operator" "In" "values" . -}}
{{- $node := get $affinity "nodeAffinity" | default dict -}}
{{- $required := get $node "requiredDuringSchedulingIgnoredDuringExecution" | default dict -}}
{{- $terms := list -}}
{{- range get $required "nodeSelectorTerms" | default (list dict) -}}
{{- $terms = append $terms (set . "matchExpressions" (append (get . "matchExpressions" | default list) $rule)) -}}
{{- end -}}
{{- $_ := set $required "nodeSelectorTerms" $terms -}}
{{- $_ := set $node "requiredDuringSchedulingIgnoredDuringExecution" $required -}}
{{- $_ := set $affinity "nodeAffinity" $node -}}
{{- end -}}
{{- if $affinity -}}
{{- toYaml $affinity -}}
{{- end -}}
{{- end -}}

{{/* A constraint without a selector gets that of the pods, of one rollout at a time: old pods do not count against new ones. */}}
{{- define "gleand.topologySpread" -}}
{{- $all := list -}}
{{- range .Values.topologySpreadConstraints -}}
{{- $one := deepCopy . -}}
{{- if not (hasKey $one "labelSelector") -}}
{{- $_ := set $one "labelSelector" (dict "matchLabels" (include "gleand.selectorLabels" $ | fromYaml)) -}}
{{- $_ := set $one "matchLabelKeys" (get $one "matchLabelKeys" | default (list "pod-template-hash")) -}}
{{- end -}}
{{- $all = append $all $one -}}
{{- end -}}
{{- toYaml $all -}}
{{- end -}}
