{{/*
A Deployment of one of our programs. Argument, a dict:
  root       the chart's scope
  component  the component, and with "actcore-" before it the Deployment and the program
  values     the component's values
  env        its environment, as a YAML list
  account    "mounted" when the program talks to the Kubernetes API
  ports      ports beside health and metrics, as a YAML list
  volumes, volumeMounts  as YAML lists
  drain      seconds that a pod goes on serving after its end was announced
*/}}
{{- define "activity-core.deployment" -}}
{{- $name := printf "actcore-%s" .component -}}
{{- $labels := dict "root" .root "component" .component -}}
{{- $autoscaled := and .values.autoscaling .values.autoscaling.enabled -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "activity-core.labels" $labels | nindent 4 }}
spec:
{{- if not $autoscaled }}
  replicas: {{ int .values.replicas }}
{{- end }}
  revisionHistoryLimit: 3
  progressDeadlineSeconds: 600
  strategy:
    type: RollingUpdate
    rollingUpdate:
      # A new pod is ready before an old one goes.
      maxUnavailable: 0
      maxSurge: 1
  selector:
    matchLabels:
      {{- include "activity-core.selectorLabels" $labels | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "activity-core.podLabels" $labels | nindent 8 }}
        {{- with .values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        kubectl.kubernetes.io/default-container: {{ $name }}
        {{- with .values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ $name }}
      automountServiceAccountToken: {{ eq .account "mounted" }}
      enableServiceLinks: false
      terminationGracePeriodSeconds: {{ int .values.terminationGracePeriodSeconds }}
      {{- include "activity-core.imagePullSecrets" .root | nindent 6 }}
      {{- with .values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      securityContext:
        {{- include "activity-core.podSecurityContext" 65532 | nindent 8 }}
      containers:
        - name: {{ $name }}
          image: {{ include "activity-core.image" .root | quote }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          command: [/usr/local/bin/{{ $name }}]
          env:
            {{- .env | nindent 12 }}
            {{- with .values.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          {{- with .values.extraEnvFrom }}
          envFrom:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          ports:
            - name: health
              containerPort: 8081
              protocol: TCP
            - name: metrics
              containerPort: 9090
              protocol: TCP
            {{- with .ports }}
            {{- . | nindent 12 }}
            {{- end }}
          # Alive means that the process answers: the outage of a dependency kills nothing.
          startupProbe:
            httpGet:
              path: /livez
              port: health
            periodSeconds: 1
            timeoutSeconds: 2
            failureThreshold: 60
          livenessProbe:
            httpGet:
              path: /livez
              port: health
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          # Ready means that what it depends on answers, each within two seconds.
          readinessProbe:
            httpGet:
              path: /readyz
              port: health
            periodSeconds: 5
            timeoutSeconds: 5
            failureThreshold: 2
          {{- with .drain }}
          lifecycle:
            preStop:
              # Requests reach the pod until every proxy knows of its end.
              sleep:
                seconds: {{ . }}
          {{- end }}
          resources:
            {{- toYaml .values.resources | nindent 12 }}
          securityContext:
            {{- include "activity-core.containerSecurityContext" . | nindent 12 }}
          {{- with trim (.volumeMounts | default "") }}
          volumeMounts:
            {{- . | nindent 12 }}
          {{- end }}
      {{- with trim (.volumes | default "") }}
      volumes:
        {{- . | nindent 8 }}
      {{- end }}
      topologySpreadConstraints:
        {{- if .values.topologySpreadConstraints }}
        {{- toYaml .values.topologySpreadConstraints | nindent 8 }}
        {{- else }}
        {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
        - maxSkew: 1
          topologyKey: {{ . }}
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "activity-core.selectorLabels" $labels | nindent 14 }}
          matchLabelKeys: [pod-template-hash]
        {{- end }}
        {{- end }}
      {{- with .values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end }}

{{/* The ServiceAccount, the PodDisruptionBudget and the autoscaler that go with it. Same argument. */}}
{{- define "activity-core.companions" -}}
{{- $name := printf "actcore-%s" .component -}}
{{- $labels := dict "root" .root "component" .component -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "activity-core.labels" $labels | nindent 4 }}
  {{- with .values.serviceAccountAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- if .values.podDisruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "activity-core.labels" $labels | nindent 4 }}
spec:
  # Not minAvailable: a single replica would keep its node from being drained.
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "activity-core.selectorLabels" $labels | nindent 6 }}
{{- end }}
{{- if and .values.autoscaling .values.autoscaling.enabled }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ $name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "activity-core.labels" $labels | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ $name }}
  minReplicas: {{ int .values.autoscaling.minReplicas }}
  maxReplicas: {{ int .values.autoscaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ int .values.autoscaling.targetCpuUtilizationPercentage }}
  behavior:
    scaleDown:
      # A pod that goes hands its tasks on; that is not worth doing for a short lull.
      stabilizationWindowSeconds: 300
{{- end }}
{{- end }}
