{{/* A claim for a server's data, when it is to outlive its pod, and the line after it. Argument:
     dict "root" "name" "labels". */}}
{{- define "activity-core.dev.volumeClaim" -}}
{{- if .root.Values.dev.persistence.enabled -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "activity-core.labels" .labels | nindent 4 }}
spec:
  accessModes: [ReadWriteOnce]
  {{- with .root.Values.dev.persistence.storageClassName }}
  storageClassName: {{ . }}
  {{- end }}
  resources:
    requests:
      storage: {{ .root.Values.dev.persistence.size }}
---
{{- end }}
{{- end }}

{{/* The volume of a server's data. Argument: dict "root" "name". */}}
{{- define "activity-core.dev.volume" -}}
- name: data
{{- if .root.Values.dev.persistence.enabled }}
  persistentVolumeClaim:
    claimName: {{ .name }}
{{- else }}
  emptyDir: {}
{{- end }}
{{- end }}

{{/* A server's Service. Argument: dict "root" "name" "labels" "ports". */}}
{{- define "activity-core.dev.service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "activity-core.labels" .labels | nindent 4 }}
spec:
  selector:
    {{- include "activity-core.selectorLabels" .labels | nindent 4 }}
  ports:
    {{- range $name, $port := .ports }}
    - name: {{ $name }}
      port: {{ $port }}
      targetPort: {{ $name }}
      protocol: TCP
    {{- end }}
{{- end }}
