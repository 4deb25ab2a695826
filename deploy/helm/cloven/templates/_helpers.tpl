{{- define "cloven.name" -}}
{{ printf "%s-%s" .Release.Name .Values.party.name | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- define "cloven.labels" -}}
{{ include "cloven.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "cloven.selector" -}}
app.kubernetes.io/name: cloven
app.kubernetes.io/instance: {{ .Release.Name }}
cloven/party: {{ .Values.party.name }}
{{- end }}

{{- define "cloven.claim" -}}
{{ .Values.persistence.existingClaim | default (printf "%s-runs" (include "cloven.name" .)) }}
{{- end }}

{{- define "cloven.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- /* The pod, of a Job or a Deployment. */ -}}
{{- define "cloven.pod" -}}
metadata:
  labels:
    {{- include "cloven.labels" . | nindent 4 }}
  annotations:
    # Other settings, another pod.
    checksum/config: {{ include (print $.Template.BasePath "/configmap.yaml") . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  restartPolicy: {{ ternary "Always" "Never" (eq .Values.party.verb "serve") }}
  terminationGracePeriodSeconds: 30
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  initContainers:
    # A Secret's files are readable by a group here, which a private key may not be: they are copied into memory, mode 0600.
    - name: own-files
      image: {{ include "cloven.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      command: [install, "-m", "600", -t, /party/{{ .Values.party.name }}, /identity/key.pem, /identity/certificate.pem, /config/local.toml, /config/roster.toml]
      securityContext: &container
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      volumeMounts:
        - {name: own, mountPath: /party/{{ .Values.party.name }}}
        - {name: config, mountPath: /config, readOnly: true}
        - {name: identity, mountPath: /identity, readOnly: true}
  containers:
    - name: cloven
      image: {{ include "cloven.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      securityContext: *container
      {{- if eq .Values.party.verb "serve" }}
      command: [cloven, serve, /config/job.toml, --as, {{ .Values.party.name | quote }}, --local, /party/{{ .Values.party.name }}/local.toml]
      {{- else }}
      command: [cloven-party, /config/job.toml, {{ .Values.party.name | quote }}, /party/runs/run, --local, /party/{{ .Values.party.name }}/local.toml]
      {{- end }}
      args:
        - --accept
        - {{ required "accept: the job's digest, after reading what each party learns" .Values.accept | quote }}
        {{- if .Values.shareSecret }}
        - --share
        - /share/{{ .Values.party.name }}.share
        {{- end }}
        {{- if .Values.metrics.enabled }}
        - --metrics
        - {{ printf "0.0.0.0:%v" .Values.metrics.port | quote }}
        - --metrics-linger
        - {{ .Values.metrics.lingerSeconds | quote }}
        {{- end }}
        {{- if .Values.logJson }}
        - --log-json
        {{- end }}
        {{- range .Values.party.arguments }}
        - {{ . | quote }}
        {{- end }}
      env:
        - {name: CLOVEN_LOG, value: {{ .Values.log | quote }}}
      ports:
        {{- if .Values.service.enabled }}
        - {name: parties, containerPort: {{ .Values.service.port }}}
        {{- end }}
        {{- if .Values.metrics.enabled }}
        - {name: metrics, containerPort: {{ .Values.metrics.port }}}
        {{- end }}
      {{- if and (eq .Values.party.verb "serve") .Values.service.enabled }}
      readinessProbe:
        tcpSocket: {port: parties}
        periodSeconds: 30
      {{- end }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - {name: own, mountPath: /party/{{ .Values.party.name }}}
        - {name: config, mountPath: /config, readOnly: true}
        - {name: runs, mountPath: /party/runs}
        - {name: tmp, mountPath: /tmp}
        {{- if .Values.dataClaim }}
        - {name: data, mountPath: /data, readOnly: true}
        {{- end }}
        {{- if .Values.shareSecret }}
        - {name: share, mountPath: /share, readOnly: true}
        {{- end }}
  volumes:
    - name: own
      emptyDir: {medium: Memory, sizeLimit: 1Mi}
    - name: tmp
      emptyDir: {}
    - name: config
      configMap: {name: {{ include "cloven.name" . }}}
    - name: identity
      secret: {secretName: {{ required "identitySecret: a Secret with key.pem and certificate.pem" .Values.identitySecret }}, defaultMode: 0440}
    - name: runs
      persistentVolumeClaim: {claimName: {{ include "cloven.claim" . }}}
    {{- if .Values.dataClaim }}
    - name: data
      persistentVolumeClaim: {claimName: {{ .Values.dataClaim }}, readOnly: true}
    {{- end }}
    {{- if .Values.shareSecret }}
    - name: share
      secret: {secretName: {{ .Values.shareSecret }}, defaultMode: 0440}
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
