// graphile-worker beside duewheel; see roles.py.
//
// To start jobs early four workers look every 2 ms; to run many its local queue takes 500 jobs at a time for 24 workers,
// and what they have run is completed in batches.
import { Logger, WorkerPreset, makeWorkerUtils, run as runWorkers } from "graphile-worker";

const TARGET = "noop";
const [role, url, more] = process.argv.slice(2);
const told = { n: 0, clients: 16, batch: 10000, ahead: 7200, rate: 200, ...JSON.parse(more) };
const logger = new Logger(() => () => {});

const say = (values) => process.stdout.write(JSON.stringify(values) + "\n");
const wall = () => performance.timeOrigin + performance.now(); // milliseconds, and parts of them
const payload = (dueMs) => ({ due: Math.round(dueMs * 1000), more: "x".repeat(63) });
const sayRate = (n, begin) => say({ rate: n / ((performance.now() - begin) / 1000) });
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const inputEnds = () => new Promise((done) => process.stdin.resume().on("end", done));
const utils = (maxPoolSize) => makeWorkerUtils({ connectionString: url, maxPoolSize, logger });

async function schedule(one, maxPoolSize = 2) {
  const opened = await utils(maxPoolSize);
  await one(opened);
  await opened.release();
}

function work(handler, worker) {
  const preset = { extends: [WorkerPreset], worker: { connectionString: url, crontabFile: undefined, logger, ...worker } };
  return runWorkers({ preset, taskList: { [TARGET]: handler }, parsedCronItems: [], noHandleSignals: true });
}

const early = (handler) => work(handler, { concurrentJobs: 4, pollInterval: 2 });

const roles = {
  setup: () => schedule((opened) => opened.migrate()),

  single: () =>
    schedule(async (opened) => {
      const runAt = new Date(Date.now() + told.ahead * 1000);
      const each = Math.floor(told.n / told.clients);
      const client = async () => {
        for (let i = 0; i < each; i++) await opened.addJob(TARGET, payload(0), { runAt });
      };
      const begin = performance.now();
      await Promise.all(Array.from({ length: told.clients }, client));
      sayRate(each * told.clients, begin);
    }, told.clients),

  bulk: () =>
    schedule(async (opened) => {
      const runAt = new Date(Date.now() + told.ahead * 1000);
      const jobs = Array.from({ length: told.batch }, () => ({ identifier: TARGET, payload: payload(0), runAt }));
      const begin = performance.now();
      for (let i = 0; i < told.n / told.batch; i++) await opened.addJobs(jobs);
      sayRate(told.n, begin);
    }),

  produce: () =>
    schedule(async (opened) => {
      const begin = performance.now();
      for (let i = 0; i < told.n; i++) {
        await sleep(Math.max(begin + (i * 1000) / told.rate - performance.now(), 0));
        const runAt = new Date(Date.now() + told.ahead * 1000);
        await opened.addJob(TARGET, payload(runAt.getTime()), { runAt });
      }
    }),

  late: async () => {
    const late = [];
    let over;
    const done = new Promise((end) => (over = end));
    const runner = await early(async ({ due }) => {
      late.push(wall() * 1000 - due);
      if (late.length === told.n) over();
    });
    await sleep(1000);
    say({ ready: true });
    await done;
    late.sort((a, b) => a - b);
    const n = late.length;
    say({ p50: late[n >> 1], p99: late[Math.floor((n * 99) / 100)], max: late[n - 1], min: late[0] });
    await runner.stop();
  },

  run: async () => {
    let left = told.n;
    let over;
    const done = new Promise((end) => (over = end));
    say({ started: wall() / 1000 });
    const runner = await work(
      async () => {
        if (--left === 0) over();
      },
      {
        concurrentJobs: 24,
        maxPoolSize: 26,
        pollInterval: 2000,
        localQueue: { size: 500 },
        completeJobBatchDelay: 0,
        failJobBatchDelay: 0,
      },
    );
    await done;
    say({ ran: wall() / 1000 });
    await inputEnds();
    await runner.stop();
  },

  idle: async () => {
    const runner = await early(async () => {});
    await sleep(1000);
    say({ ready: true });
    await inputEnds();
    await runner.stop();
  },
};

await roles[role]();
process.exit(0);
