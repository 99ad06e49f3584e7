'use strict';
/* The interpreter of JavaScript behind a host: `node driver.js --link-fd N --pipes-fd M`, as
 * `warmcell-kernel --driver -- node driver.js` starts it. It needs nothing but Node. */
const fs = require('node:fs');
const {createRequire} = require('node:module');
const path = require('node:path');
const {pathToFileURL} = require('node:url');
const {ABORT_QUEUE, KIND, VERSION} = require('./link.js');
const {Cells} = require('./cell.js');
const {bundleOf, makeDisplay} = require('./display.js');
const {describe} = require('./errors.js');
const {Host} = require('./host.js');
const {Streams} = require('./streams.js');
const tools = require('./tools.js');

const OLDEST_NODE = 18;
const BUILTINS = ['assert', 'buffer', 'child_process', 'crypto', 'events', 'fs', 'http', 'https', 'os', 'path',
  'readline', 'stream', 'url', 'util', 'v8', 'vm', 'zlib'];

class ExitAsked extends Error {}

class Driver {
  constructor(host) {
    this.host = host;
    this.streams = new Streams(host);
    this.cells = new Cells(() => this.host.interrupted());
    this.count = 0;
    this.inputAllowed = false;
    this.exit = process.exit.bind(process);
    this.provide();
  }

  /* The globals that a cell has beside Node's. */
  provide() {
    const globals = {
      display: makeDisplay((type, content) =>
        this.host.publish(this.streams.number(), type, content)),
      prompt: (text = '', {password = false} = {}) => this.prompt(String(text), Boolean(password)),
      importModule: (name) => import(importable(String(name))),
    };
    for (const [name, value] of Object.entries(globals)) define(name, {value, writable: true});
    define('require', {get: () => createRequire(path.join(process.cwd(), 'cell.js'))});
    for (const name of BUILTINS) define(name, {get: () => require(`node:${name}`)});
    process.exit = (code) => this.askExit(code);
    process.on('uncaughtException', (thrown) => this.tellUncaught(thrown));
    process.on('unhandledRejection', (thrown) => this.tellUncaught(thrown));
  }

  /* Of what nobody waits for. It ends nothing. */
  tellUncaught(thrown) {
    if (thrown instanceof ExitAsked) return;
    const {traceback} = describe({thrown}, '');
    this.host.stream(this.streams.number(), 'stderr', `${traceback.join('\n')}\n`);
  }

  askExit(code) {
    if (code !== undefined) process.exitCode = code;
    this.host.say(KIND.EXIT, 0, {keepkernel: false});
    throw new ExitAsked('the kernel ends');
  }

  /* Waits for the client's answer, and keeps the thread: code reads on as from a terminal. */
  prompt(text, password) {
    if (!this.inputAllowed) throw new Error('this client does not answer prompts');
    this.host.say(KIND.INPUT_REQUEST, this.streams.latest, {prompt: text, password});
    return this.host.awaitFrame(KIND.INPUT, () => this.exit(0)).parts[0].toString();
  }

  async take({kind, number, parts}) {
    if (kind === KIND.HELLO) this.greet(JSON.parse(parts[0]));
    else if (kind === KIND.ADOPT) adopt(JSON.parse(parts[0]));
    else if (kind === KIND.SHUTDOWN) this.exit();
    else if (kind === KIND.REQUEST) await this.answer(number, parts);
  }

  greet(hello) {
    this.host.say(KIND.READY, 0, {
      version: VERSION,
      kernel_info: KERNEL_INFO,
      interrupt_error: 'Interrupted',
    });
    if (hello.version !== VERSION) this.exit(1);
    if (hello.cwd) process.chdir(hello.cwd);
  }

  async answer(number, parts) {
    const type = parts[0].toString();
    const metadata = JSON.parse(parts[2]);
    const content = JSON.parse(parts[3]);
    const answers = {
      execute_request: () => this.execute(number, content, metadata.warmcell ?? {}),
      complete_request: () => this.tool(number, content, tools.complete),
      inspect_request: () => this.tool(number, content, tools.inspect),
      is_complete_request: () => this.tool(number, content, (_, asked) => tools.isWhole(asked)),
      comm_info_request: () => this.host.reply(number, {status: 'ok', comms: {}}),
    };
    const answer = Object.hasOwn(answers, type) ? answers[type] : null;
    if (answer) await answer();
    else this.host.say(KIND.DONE, number);
  }

  tool(number, content, f) {
    try {
      if (typeof content.code !== 'string') throw new TypeError('code: must be a string');
      this.host.reply(number, f(this.cells, content));
    } catch (thrown) {
      this.host.reply(number, {status: 'error', ...describe({thrown}, '')});
    }
  }

  async execute(number, content, ask) {
    const {code, silent = false, store_history: store = !silent} = content;
    const before = process.cpuUsage();
    forgetMemoryPeak();
    this.streams.latest = number;
    this.inputAllowed = content.allow_stdin === true;
    if (typeof code === 'string' && !silent) this.begin(number, code, store);
    let reply, flags = 0;
    const restore = [];
    try {
      if (typeof code !== 'string') throw {thrown: new TypeError('code: must be a string')};
      takeOn(ask, restore);
      const {value} = await this.run(number, code);
      if (!silent) await this.showResult(number, code, value);
      const expressions = await this.evaluateAll(number, content.user_expressions ?? {});
      reply = {status: 'ok', user_expressions: expressions, payload: []};
    } catch (failure) {
      reply = this.failed(number, failure, code);
      if (reply.status === 'error' && content.stop_on_error !== false) flags = ABORT_QUEUE;
    } finally {
      for (const undo of restore.reverse()) undo();
    }
    this.host.reply(number, {execution_count: this.count, ...reply}, {usage: usage(before)}, flags);
  }

  begin(number, code, store) {
    if (store) {
      this.count++;
      this.host.history(number, this.count, code);
    }
    this.host.begin(number, {code, execution_count: this.count || 1});
  }

  run(number, code) {
    const name = `cell-${this.count}.js`;
    return this.cells.run(code, name, number, (enter) => this.streams.as(number, enter));
  }

  async showResult(number, code, value) {
    if (value === undefined) return;
    if (!this.cells.declared().includes('_')) define('_', {value, writable: true});
    const data = await this.streams.as(number, () => bundleOf(value)).catch((thrown) => {
      throw {thrown};
    });
    const content = {data, metadata: {}, execution_count: this.count};
    this.host.publish(number, 'execute_result', content);
  }

  async evaluateAll(number, expressions) {
    const answers = {};
    for (const [name, code] of Object.entries(expressions)) {
      try {
        const {value} = await this.run(number, String(code));
        const data = await bundleOf(value);
        answers[name] = {status: 'ok', data, metadata: {}};
      } catch (failure) {
        const thrown = 'thrown' in Object(failure) ? failure : {thrown: failure};
        answers[name] = {status: 'error', ...describe(thrown, String(code))};
      }
    }
    return answers;
  }

  failed(number, failure, code) {
    if (failure?.thrown instanceof ExitAsked)
      return {status: 'ok', user_expressions: {}, payload: []};
    const error = describe('thrown' in Object(failure) ? failure : {thrown: failure}, String(code));
    this.host.publish(number, 'error', error);
    return {status: 'error', ...error};
  }
}

const KERNEL_INFO = {
  implementation: 'warmcell-node',
  banner: `JavaScript on Node ${process.version}`,
  language_info: {
    name: 'javascript',
    version: process.versions.node,
    mimetype: 'text/javascript',
    file_extension: '.js',
    pygments_lexer: 'javascript',
    codemirror_mode: 'javascript',
  },
  help_links: [
    {text: 'Node', url: 'https://nodejs.org/docs/latest/api/'},
    {text: 'JavaScript', url: 'https://developer.mozilla.org/docs/Web/JavaScript'},
  ],
};

function define(name, descriptor) {
  const setter = descriptor.get
    ? {set: (value) => define(name, {value, writable: true, enumerable: true})} : {};
  Object.defineProperty(globalThis, name, {configurable: true, ...setter, ...descriptor});
}

/* Relative names are of the working folder, packages of the node_modules above it. */
function importable(name) {
  if (/^[a-z]+:/.test(name)) return name;
  const found = createRequire(path.join(process.cwd(), 'cell.js')).resolve(name);
  return path.isAbsolute(found) ? pathToFileURL(found).href : found;
}

function setVariable(name, value) {
  if (value === null || value === undefined) delete process.env[name];
  else process.env[name] = value;
}

function adopt({env = {}, cwd = null}) {
  for (const [name, value] of Object.entries(env)) setVariable(name, value);
  if (cwd) process.chdir(cwd);
}

/* The environment and folder of one execution; restore gets what undoes each. */
function takeOn({env = {}, cwd = null}, restore) {
  const folder = process.cwd();
  if (cwd !== null) {
    try {
      process.chdir(cwd);
    } catch (error) {
      throw {thrown: new Error(`cwd: ${error.message}`)};
    }
    restore.push(() => process.chdir(folder));
  }
  for (const [name, value] of Object.entries(env)) {
    const old = process.env[name];
    restore.push(() => setVariable(name, old));
    setVariable(name, value);
  }
}

/* From now on maxRSS is counted anew, where the kernel can do that: see kernel/python/memory_peak.c. */
function forgetMemoryPeak() {
  try {
    fs.writeFileSync('/proc/self/clear_refs', '5');
  } catch {
    return; // it stays that of the whole life
  }
}

function usage(before) {
  const {user, system} = process.cpuUsage(before);
  const {maxRSS} = process.resourceUsage();
  return {cpu_s: (user + system) / 1e6, memory_peak_bytes: maxRSS * 1024};
}

function descriptorOf(name) {
  const at = process.argv.indexOf(name);
  const fd = Number(process.argv[at + 1]);
  if (at < 0 || !Number.isInteger(fd) || fd < 3) {
    process.stderr.write(`${name}: must be the number of an open descriptor; warmcell-kernel gives it\n`);
    process.exit(2);
  }
  return fd;
}

function main() {
  const major = Number(process.versions.node.split('.')[0]);
  if (major < OLDEST_NODE) {
    process.stderr.write(`Node ${process.version} is too old: ${OLDEST_NODE} or newer is needed\n`);
    process.exit(2);
  }
  const driver = new Driver(new Host(descriptorOf('--link-fd'), descriptorOf('--pipes-fd')));
  driver.host.serve((frame) => driver.take(frame)).catch((error) => {
    process._rawDebug(error.stack);
    process.kill(0, 'SIGKILL');
  });
}

main();
