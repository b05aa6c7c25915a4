// Package web serves what machines ask the bot over HTTP: /healthz (the process lives),
// /readyz (store and Slack answer), /metrics (Prometheus), and, in http mode, Slack's
// requests under /slack/.
package web

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are the bot's counters, in a registry of their own.
type Metrics struct {
	registry *prometheus.Registry
	received *prometheus.CounterVec
	runs     *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	repairs  *prometheus.CounterVec
	tunnels  *prometheus.GaugeVec
}

// NewMetrics makes the counters.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		received: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vpnbot_requests_total", Help: "Requests from Slack, by kind and whether they could be written down."}, []string{"kind", "ok"}),
		runs:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vpnbot_runs_total", Help: "Runs of playbooks that ended."}, []string{"playbook", "state"}),
		seconds:  prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "vpnbot_run_seconds", Help: "How long runs took.", Buckets: []float64{1, 3, 10, 30, 60, 120, 300}}, []string{"playbook"}),
		repairs:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "vpnbot_repairs_total", Help: "Proposals that ended, by state and outcome."}, []string{"state", "outcome"}),
		tunnels:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "vpnbot_tunnels", Help: "Tunnels by state as the last sweep saw them."}, []string{"state"}),
	}
	m.registry.MustRegister(m.received, m.runs, m.seconds, m.repairs, m.tunnels)
	return m
}

// Received counts a request.
func (m *Metrics) Received(kind string, err error) {
	ok := "yes"
	if err != nil {
		ok = "no"
	}
	m.received.WithLabelValues(kind, ok).Inc()
}

// Ran counts a run.
func (m *Metrics) Ran(playbook, state string, took time.Duration) {
	m.runs.WithLabelValues(playbook, state).Inc()
	m.seconds.WithLabelValues(playbook).Observe(took.Seconds())
}

// Repaired counts a proposal's end.
func (m *Metrics) Repaired(state, outcome string) { m.repairs.WithLabelValues(state, outcome).Inc() }

// Tunnels sets how many tunnels are in which state.
func (m *Metrics) Tunnels(byState map[string]int) {
	m.tunnels.Reset()
	for s, n := range byState {
		m.tunnels.WithLabelValues(s).Set(float64(n))
	}
}

// Handler serves all of it; requests may be nil.
func Handler(ready func(context.Context) error, m *Metrics, requests http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		if err := ready(ctx); err != nil {
			http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Write([]byte("ready\n"))
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	if requests != nil {
		mux.Handle("/slack/", requests)
	}
	return mux
}
