{{/* The name of the scrape job: by it Prometheus keeps one release from another. */}}
{{- define "gleand.job" -}}
{{- .Values.monitoring.job | default (include "gleand.fullname" .) -}}
{{- end -}}

{{/* How the admin port is scraped: (list ROOT INTERVAL TIMEOUT). */}}
{{- define "gleand.endpoint" -}}
- port: admin
  path: /metrics
  scheme: http
  interval: {{ index . 1 }}
  scrapeTimeout: {{ index . 2 }}
  relabelings:
    - action: replace
      targetLabel: job
      replacement: {{ include "gleand.job" (index . 0) | quote }}
{{- end -}}
