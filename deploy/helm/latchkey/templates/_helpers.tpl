{{/* The services: a dict of name -> what the templates need to know of it. */}}
{{- define "latchkey.services" -}}
auth-api:
  values: authApi
  port: 8101
  secrets: {AUTH_API_DATABASE_URL: auth_api_database_url, REDIS_URL: auth_api_redis_url, SECRET: secret}
  database: true
consent-ui:
  values: consentUi
  port: 8102
  secrets: {REDIS_URL: consent_ui_redis_url, SECRET: secret}
  database: false
key-issuer:
  values: keyIssuer
  port: 8103
  secrets: {KEY_ISSUER_DATABASE_URL: key_issuer_database_url, REDIS_URL: key_issuer_redis_url, KEY_PEPPER: key_pepper}
  database: true
{{- end }}

{{- define "latchkey.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- with .Values.image.digest }}@{{ . }}{{ end }}
{{- end }}

{{- define "latchkey.labels" -}}
app.kubernetes.io/name: latchkey
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "latchkey.selector" -}}
app.kubernetes.io/name: latchkey
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "latchkey.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "latchkey.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* A setting as it was written: YAML makes a boolean of `on`, and Helm a float of a million, which it prints as 1e+06. */}}
{{- define "latchkey.setting" -}}
{{- if kindIs "bool" . -}}
{{ ternary "on" "off" . }}
{{- else if and (kindIs "float64" .) (eq (float64 (int64 .)) .) -}}
{{ int64 . }}
{{- else -}}
{{ . }}
{{- end -}}
{{- end }}
