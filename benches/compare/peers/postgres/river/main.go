// River beside duewheel; see roles.py.
//
// To start jobs early it looks every millisecond, which is the least that it takes; to run many it has the settings of
// its own benchmark: 2,000 workers, a look every 20 ms and 2 ms between two.
package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

type told struct {
	N       int     `json:"n"`
	Clients int     `json:"clients"`
	Batch   int     `json:"batch"`
	Ahead   float64 `json:"ahead"`
	Rate    float64 `json:"rate"`
}

// Noop is the job of all rows.
type Noop struct {
	Due  int64  `json:"due"`
	More string `json:"more"`
}

// Kind names the job.
func (Noop) Kind() string { return "noop" }

type worker struct {
	river.WorkerDefaults[Noop]
	run func(Noop)
}

func (w *worker) Work(_ context.Context, job *river.Job[Noop]) error {
	w.run(job.Args)
	return nil
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func say(values map[string]any) {
	must(json.NewEncoder(os.Stdout).Encode(values))
}

func unix(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }

func sayRate(n int, begin time.Time) {
	say(map[string]any{"rate": float64(n) / time.Since(begin).Seconds()})
}

func payload(due int64) Noop { return Noop{Due: due, More: strings.Repeat("x", 63)} }

func inputEnds() { _, _ = io.Copy(io.Discard, os.Stdin) }

type side struct {
	ctx  context.Context
	pool *pgxpool.Pool
	told told
}

func (s side) ahead() time.Time {
	return time.Now().Add(time.Duration(s.told.Ahead * float64(time.Second)))
}

func (s side) client(config *river.Config) *river.Client[pgx.Tx] {
	config.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	client, err := river.NewClient(riverpgxv5.New(s.pool), config)
	must(err)
	return client
}

func (s side) start(run func(Noop), workers int, cooldown, poll time.Duration) {
	registered := river.NewWorkers()
	river.AddWorker(registered, &worker{run: run})
	client := s.client(&river.Config{
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: workers}},
		Workers:           registered,
		FetchCooldown:     cooldown,
		FetchPollInterval: poll,
	})
	must(client.Start(s.ctx))
}

func (s side) early(run func(Noop)) {
	s.start(run, 100, time.Millisecond, time.Millisecond)
	time.Sleep(6 * time.Second) // until it leads, and schedules
	say(map[string]any{"ready": true})
}

func (s side) setup() {
	migrator, err := rivermigrate.New(riverpgxv5.New(s.pool), nil)
	must(err)
	_, err = migrator.Migrate(s.ctx, rivermigrate.DirectionUp, nil)
	must(err)
}

func (s side) single() {
	client := s.client(&river.Config{})
	opts := &river.InsertOpts{ScheduledAt: s.ahead()}
	each := s.told.N / s.told.Clients
	var group sync.WaitGroup
	begin := time.Now()
	for range s.told.Clients {
		group.Add(1)
		go func() {
			defer group.Done()
			for range each {
				_, err := client.Insert(s.ctx, payload(0), opts)
				must(err)
			}
		}()
	}
	group.Wait()
	sayRate(each*s.told.Clients, begin)
}

func (s side) bulk() {
	client := s.client(&river.Config{})
	opts := &river.InsertOpts{}
	if s.told.Ahead > 0 {
		opts.ScheduledAt = s.ahead()
	}
	jobs := make([]river.InsertManyParams, s.told.Batch)
	for i := range jobs {
		jobs[i] = river.InsertManyParams{Args: payload(0), InsertOpts: opts}
	}
	begin := time.Now()
	for range s.told.N / s.told.Batch {
		_, err := client.InsertManyFast(s.ctx, jobs)
		must(err)
	}
	sayRate(s.told.N, begin)
}

func (s side) produce() {
	client := s.client(&river.Config{})
	begin := time.Now()
	for i := range s.told.N {
		time.Sleep(time.Until(begin.Add(time.Duration(float64(i) / s.told.Rate * float64(time.Second)))))
		due := s.ahead().Truncate(time.Microsecond)
		_, err := client.Insert(s.ctx, payload(due.UnixMicro()), &river.InsertOpts{ScheduledAt: due})
		must(err)
	}
}

func (s side) late() {
	var lock sync.Mutex
	late := make([]float64, 0, s.told.N)
	over := make(chan struct{})
	s.early(func(job Noop) {
		found := float64(time.Now().UnixNano())/1e3 - float64(job.Due)
		lock.Lock()
		defer lock.Unlock()
		late = append(late, found)
		if len(late) == s.told.N {
			close(over)
		}
	})
	<-over
	sort.Float64s(late)
	n := len(late)
	say(map[string]any{"p50": late[n/2], "p99": late[n*99/100], "max": late[n-1], "min": late[0]})
}

func (s side) run() {
	var count atomic.Int64
	over := make(chan struct{})
	say(map[string]any{"started": unix(time.Now())})
	s.start(func(Noop) {
		if count.Add(1) == int64(s.told.N) {
			close(over)
		}
	}, 2000, 2*time.Millisecond, 20*time.Millisecond)
	<-over
	say(map[string]any{"ran": unix(time.Now())})
	inputEnds()
}

func (s side) idle() {
	s.early(func(Noop) {})
	inputEnds()
}

func main() {
	given := told{Clients: 16, Batch: 10_000, Ahead: 7200, Rate: 200}
	must(json.Unmarshal([]byte(os.Args[3]), &given))
	config, err := pgxpool.ParseConfig(os.Args[2])
	must(err)
	config.MaxConns = int32(max(given.Clients, 16))
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	must(err)
	s := side{context.Background(), pool, given}
	map[string]func(){
		"setup": s.setup, "single": s.single, "bulk": s.bulk, "produce": s.produce,
		"late": s.late, "run": s.run, "idle": s.idle,
	}[os.Args[1]]()
}
