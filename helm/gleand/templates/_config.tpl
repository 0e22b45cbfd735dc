{{/* The configuration as JSON: what the chart sets, then `config`, then the files that the chart mounts. */}}
{{- define "gleand.config" -}}
{{- $config := dict
  "server" (dict "listen" "[::]:50051" "lame_duck_ms" 5000 "drain_ms" 60000)
  "admin" (dict "listen" "[::]:9464")
  "log" (dict "format" "json") -}}
{{- /* By hand: `merge` takes 0 and "" for nothing given. */ -}}
{{- range $section, $keys := .Values.config -}}
{{- $of := get $config $section | default dict -}}
{{- range $key, $value := $keys -}}
{{- if not (kindIs "invalid" $value) -}}{{- $_ := set $of $key $value -}}{{- end -}}
{{- end -}}
{{- $_ := set $config $section $of -}}
{{- end -}}
{{- range (include "gleand.config.mounted" . | fromJsonArray) -}}
{{- $section := index . 0 -}}
{{- $key := index . 1 -}}
{{- if hasKey (get ($.Values.config | default dict) $section | default dict) $key -}}
{{- fail (printf "config.%s.%s is set by the chart, because %s is given: take one of the two away" $section $key (index . 3)) -}}
{{- end -}}
{{- $_ := set $config $section (set (get $config $section | default dict) $key (index . 2)) -}}
{{- end -}}
{{- toJson $config -}}
{{- end -}}

{{/* Keys whose files the chart mounts, as JSON: lists of section, key, value, and the value of the chart that is the reason. */}}
{{- define "gleand.config.mounted" -}}
{{- $at := "/etc/gleand" -}}
{{- $all := list -}}
{{- with .Values.tls -}}
{{- if .existingSecret -}}
{{- $all = append $all (list "tls" "cert_file" (printf "%s/tls/%s" $at .certKey) "tls.existingSecret") -}}
{{- $all = append $all (list "tls" "key_file" (printf "%s/tls/%s" $at .keyKey) "tls.existingSecret") -}}
{{- if .clientCaKey -}}
{{- $all = append $all (list "tls" "client_ca_file" (printf "%s/tls/%s" $at .clientCaKey) "tls.clientCaKey") -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.auth -}}
{{- if .existingSecret -}}
{{- $all = append $all (list "auth" "keys_file" (printf "%s/auth/%s" $at .key) "auth.existingSecret") -}}
{{- end -}}
{{- end -}}
{{- with .Values.otlp.caSecret -}}
{{- if .name -}}
{{- $all = append $all (list "otlp" "ca_file" (printf "%s/otlp/ca/%s" $at .key) "otlp.caSecret.name") -}}
{{- end -}}
{{- end -}}
{{- with .Values.otlp.headersSecret -}}
{{- if .name -}}
{{- $all = append $all (list "otlp" "headers_file" (printf "%s/otlp/headers/%s" $at .key) "otlp.headersSecret.name") -}}
{{- end -}}
{{- end -}}
{{- if ne .Values.model.source "baked" -}}
{{- $all = append $all (list "model" "path" "/models/current" (printf "model.source %s" .Values.model.source)) -}}
{{- end -}}
{{- toJson $all -}}
{{- end -}}

{{- define "gleand.toml" -}}
{{- range $section, $keys := include "gleand.config" . | fromJson }}
[{{ $section }}]
{{- range $key, $value := $keys }}
{{ $key }} = {{ include "gleand.toml.value" $value }}
{{- end }}
{{ end }}
{{- end -}}

{{/* Numbers reach a template as floating point: a whole one is written as such, as 5000 and not 5e+03. The daemon reads a
fraction from a string, and JSON's strings are TOML's. */}}
{{- define "gleand.toml.value" -}}
{{- if kindIs "string" . -}}
{{ toJson . }}
{{- else if regexMatch "^(int|float)" (kindOf .) -}}
{{- if eq (float64 .) (floor .) }}{{ printf "%.0f" (float64 .) }}{{ else }}{{ toString . | quote }}{{ end -}}
{{- else -}}
{{ toString . | toJson }}
{{- end -}}
{{- end -}}

{{/* The port of (list ROOT SECTION): of server.listen or admin.listen. */}}
{{- define "gleand.port" -}}
{{- $section := index . 1 -}}
{{- $listen := include "gleand.config" (index . 0) | fromJson | dig $section "listen" "" -}}
{{- if not (regexMatch ":[0-9]+$" $listen) -}}
{{- fail (printf "config.%s.listen must be an address with a port, such as [::]:50051, for Services and probes" $section) -}}
{{- else if regexMatch "^(127\\.|\\[::1\\]|localhost)" $listen -}}
{{- fail (printf "config.%s.listen is %s, which nothing outside the container reaches: use [::] or 0.0.0.0" $section $listen) -}}
{{- end -}}
{{- regexFind "[0-9]+$" $listen -}}
{{- end -}}

{{/* Seconds from SIGTERM to SIGKILL: what the daemon may take to stop, and 10 for what it does not count. */}}
{{- define "gleand.gracePeriod" -}}
{{- $server := include "gleand.config" . | fromJson | dig "server" dict -}}
{{- $least := add (div (add (int64 $server.lame_duck_ms) (int64 $server.drain_ms) 999) 1000) 10 -}}
{{- $given := int64 .Values.terminationGracePeriodSeconds -}}
{{- if and $given (lt $given $least) -}}
{{- fail (printf "terminationGracePeriodSeconds is %d, but server.lame_duck_ms + server.drain_ms + 10 s are %d"
    $given $least) -}}
{{- end -}}
{{- $given | default $least -}}
{{- end -}}
