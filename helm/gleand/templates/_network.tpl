{{/* The port of a Service: (list ROOT PORT). HTTP/2 in plaintext is no name for a port that speaks TLS, and meshes go by it. */}}
{{- define "gleand.servicePort" -}}
{{- $values := (index . 0).Values -}}
{{- $protocol := $values.service.appProtocol -}}
{{- if and $values.tls.existingSecret (eq $protocol "kubernetes.io/h2c") -}}
{{- $protocol = "https" -}}
{{- end -}}
- name: grpc
  port: {{ index . 1 }}
  targetPort: grpc
  protocol: TCP
  {{- with $protocol }}
  appProtocol: {{ . | quote }}
  {{- end }}
{{- end -}}

{{/* One rule of egress to TCP ports: (list PEERS PORTS), and with a third entry UDP as well. */}}
{{- define "gleand.egress" -}}
{{- $udp := gt (len .) 2 -}}
- ports:
    {{- range index . 1 }}
    {{- if $udp }}
    - port: {{ . }}
      protocol: UDP
    {{- end }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
  {{- with index . 0 }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* Ports of addresses as a JSON array: (list ADDRESSES PORTS), where PORTS are those of an address that does not say. */}}
{{- define "gleand.urlPorts" -}}
{{- $ports := list -}}
{{- range compact (index . 0) -}}
{{- $port := regexFind ":[0-9]+(/|$)" . | trimPrefix ":" | trimSuffix "/" -}}
{{- if $port -}}
{{- $ports = append $ports (int $port) -}}
{{- else if hasPrefix "https:" . -}}
{{- $ports = append $ports 443 -}}
{{- else if hasPrefix "http:" . -}}
{{- $ports = append $ports 80 -}}
{{- else -}}
{{- $ports = concat $ports (index $ 1) -}}
{{- end -}}
{{- end -}}
{{- uniq $ports | toJson -}}
{{- end -}}

{{/* Values of the variables of extraEnv whose names match: (list ROOT PATTERN), as a JSON array. One that comes from a ConfigMap
or a secret cannot be seen, and is a dash. */}}
{{- define "gleand.variables" -}}
{{- $values := list -}}
{{- $pattern := index . 1 -}}
{{- range (index . 0).Values.extraEnv -}}
{{- if regexMatch $pattern .name -}}{{- $values = append $values (get . "value" | default "-") -}}{{- end -}}
{{- end -}}
{{- toJson $values -}}
{{- end -}}

{{/* The ports of the receivers of telemetry as a JSON array; empty where there is none. */}}
{{- define "gleand.otlp.ports" -}}
{{- $given := include "gleand.variables" (list . "^OTEL_EXPORTER_OTLP_.*ENDPOINT$") | fromJsonArray -}}
{{- $urls := prepend $given (include "gleand.config" . | fromJson | dig "otlp" "endpoint" "") -}}
{{- $ports := include "gleand.urlPorts" (list $urls (list 4317 4318)) | fromJsonArray -}}
{{- if and $ports .Values.networkPolicy.otlp.ports -}}
{{- $ports = .Values.networkPolicy.otlp.ports -}}
{{- end -}}
{{- toJson $ports -}}
{{- end -}}

{{/* The ports of the hub that the model is fetched from, as a JSON array. */}}
{{- define "gleand.modelInit.ports" -}}
{{- $urls := prepend (include "gleand.variables" (list . "^HF_ENDPOINT$") | fromJsonArray) .Values.model.init.id -}}
{{- $ports := include "gleand.urlPorts" (list $urls (list 443)) | fromJsonArray -}}
{{- .Values.networkPolicy.modelInit.ports | default $ports | toJson -}}
{{- end -}}
