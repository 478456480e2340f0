{{/*
The rule files of what is installed, as YAML by file name. They are files so that promtool tests the
very rules that are installed. Argument: the chart's scope.
*/}}
{{- define "activity-core.rules" -}}
{{- $root := . -}}
{{- $resync := max 1800 (mul 3 (int .Values.operator.resyncSeconds)) -}}
{{- $audit := max 900 (mul 3 (int .Values.operator.auditSeconds)) -}}
{{- $files := dict -}}
{{- range $path, $_ := .Files.Glob "files/alerts/*.yaml" -}}
{{- $name := base $path -}}
{{- $wanted := or (and (ne $name "router.yaml") (ne $name "api.yaml")) (and (eq $name "router.yaml") $root.Values.eventRouter.enabled) (and (eq $name "api.yaml") $root.Values.api.enabled) -}}
{{- if $wanted -}}
{{- $text := $root.Files.Get $path | replace "${NAMESPACE}" $root.Release.Namespace | replace "${RUNBOOKS}" $root.Values.monitoring.alerts.runbookBaseUrl | replace "${RESYNC_STALE_SECONDS}" (toString $resync) | replace "${AUDIT_STALE_SECONDS}" (toString $audit) -}}
{{- $groups := (fromYaml $text).groups -}}
{{- range $groups -}}
{{- $kept := list -}}
{{- range .rules -}}
{{- if or $root.Values.eventRouter.enabled (ne .alert "ActivityCoreNatsUnreachable") -}}
{{- $_ := set . "labels" (merge (dict) .labels $root.Values.monitoring.alerts.labels) -}}
{{- $kept = append $kept . -}}
{{- end -}}
{{- end -}}
{{- $_ := set . "rules" $kept -}}
{{- end -}}
{{- $_ := set $files $name (dict "groups" $groups) -}}
{{- end -}}
{{- end -}}
{{- toYaml $files -}}
{{- end }}
