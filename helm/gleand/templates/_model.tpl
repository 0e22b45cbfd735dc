{{/* The model, read-only at /models/current, unless it is the one in the image. */}}
{{- define "gleand.model.mount" -}}
{{- if ne .Values.model.source "baked" }}
- name: model
  mountPath: /models/current
  readOnly: true
  {{- if eq .Values.model.source "init" }}
  subPath: current
  {{- else if eq .Values.model.source "pvc" }}
  {{- with .Values.model.pvc.subPath }}
  subPath: {{ . | quote }}
  {{- end }}
  {{- else }}
  {{- with .Values.model.image.subPath }}
  subPath: {{ . | quote }}
  {{- end }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "gleand.model.volume" -}}
{{- with .Values.model }}
{{- if eq .source "pvc" }}
- name: model
  persistentVolumeClaim:
    claimName: {{ .pvc.claimName | quote }}
    readOnly: true
{{- else if eq .source "init" }}
- name: model
  emptyDir:
    sizeLimit: {{ .init.sizeLimit | quote }}
{{- if .init.tokenSecret.name }}
{{ include "gleand.secretVolume" (list "model-token" .init.tokenSecret.name .init.tokenSecret.key) }}
{{- end }}
{{- else if eq .source "image" }}
- name: model
  image:
    reference: {{ .image.reference | quote }}
    pullPolicy: {{ .image.pullPolicy }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Fetches the model before the daemon starts. It has the daemon's resources: what a pod asks for is the larger of the two, and
the pod keeps its class of service. */}}
{{- define "gleand.model.init" -}}
{{- if eq .Values.model.source "init" -}}
{{- $init := .Values.model.init -}}
- name: model
  image: {{ include "gleand.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args:
    - models
    - fetch
    - {{ $init.id | quote }}
    - --revision
    - {{ $init.revision | quote }}
    {{- range $file, $hash := $init.sha256 }}
    - --sha256
    - {{ printf "%s=%s" $file $hash | quote }}
    {{- end }}
    - --to
    - /models/current
    {{- if $init.tokenSecret.name }}
    - --token-file
    - /etc/gleand/model/{{ $init.tokenSecret.key }}
    {{- end }}
  {{- with .Values.extraEnv }}
  env:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- include "gleand.securityContext" . | nindent 4 }}
  resources:
    {{- range $kind, $of := pick .Values.resources "requests" "limits" }}
    {{ $kind }}:
      {{- toYaml (pick $of "cpu" "memory") | nindent 6 }}
    {{- end }}
  volumeMounts:
    - name: model
      mountPath: /models
    {{- if $init.tokenSecret.name }}
    - name: model-token
      mountPath: /etc/gleand/model
      readOnly: true
    {{- end }}
{{- end -}}
{{- end -}}
