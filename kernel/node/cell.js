'use strict';
/* Runs the code of a cell: as V8's own console does, so that `await` stands at the top level and
 * what a cell declares with let, const and class is there for the next, which may declare it anew.
 *
 * Code that runs without a pause is ended by SIGINT itself, by way of vm's watchdog; a cell that
 * waits is given up by the handler of SIGINT. Code that never pauses after an await is neither. */
const inspector = require('node:inspector');
const vm = require('node:vm');

const HANDS = Symbol.for('warmcell.hands');

class Interrupted extends Error {
  constructor() {
    super('the execution was interrupted');
    this.name = 'Interrupted';
    this.stack = `${this.name}: ${this.message}`;
  }
}

class Cells {
  /* interrupted: tells for which request the host's latest SIGINT is. */
  constructor(interrupted) {
    this.interrupted = interrupted;
    this.early = false; /* a SIGINT came while no code ran */
    this.session = new inspector.Session();
    this.session.connect();
    this.running = null;
    const hands = {take: null, go: null};
    Object.defineProperty(globalThis, HANDS, {value: hands});
    this.hands = hands;
    this.go = new vm.Script('globalThis[Symbol.for("warmcell.hands")].go()', {
      filename: 'warmcell:run',
    });
    process.on('SIGINT', () => {
      if (this.running) this.running(new Interrupted());
      else this.early = true;
    });
  }

  ask(method, parameters) {
    let answer, failure;
    this.session.post(method, parameters, (error, result) => {
      failure = error;
      answer = result;
    });
    if (failure) throw new Error(failure.message);
    return answer;
  }

  /* What the inspector speaks of, itself. */
  real(remote) {
    const {objectId, unserializableValue, value} = remote;
    const argument = objectId ? {objectId} : unserializableValue ? {unserializableValue} : {value};
    const world = this.ask('Runtime.evaluate', {expression: 'globalThis'}).result.objectId;
    this.ask('Runtime.callFunctionOn', {
      objectId: world,
      functionDeclaration: 'function (v) { this[Symbol.for("warmcell.hands")].take = v; }',
      arguments: [argument],
    });
    const {take} = this.hands;
    this.hands.take = null;
    return take;
  }

  /* For the request of that number. {value}, of the last expression (which may be a promise itself).
   * Rejects with {thrown}, whatever was thrown; call is what enters the code. */
  async run(code, name, number, call) {
    /* the loop tells a SIGINT that has come, as it goes round: from one immediate to the next */
    await new Promise((done) => setImmediate(() => setImmediate(done)));
    return new Promise((resolve, reject) => {
      const early = this.early;
      this.early = false;
      if (early && this.interrupted() === number) return reject({thrown: new Interrupted()});
      const end = (f, value) => {
        this.running = null;
        f(value);
      };
      this.running = (thrown) => end(reject, {thrown});
      this.hands.go = () => call(() => this.evaluate(code, name, (error, answer) => {
        if (!this.running) return; /* it was given up */
        if (error) end(reject, {thrown: new Error(error.message)});
        else if (answer.exceptionDetails) this.fail(answer.exceptionDetails, end, reject);
        else end(resolve, {value: this.real(answer.result)});
      }));
      try {
        this.go.runInThisContext({breakOnSigint: true});
      } catch (thrown) {
        const ours = thrown?.code === 'ERR_SCRIPT_EXECUTION_INTERRUPTED';
        this.running?.(ours ? new Interrupted() : thrown);
      }
    }).finally(() => this.ask('Runtime.releaseObjectGroup', {objectGroup: 'cell'}));
  }

  evaluate(code, name, done) {
    this.session.post('Runtime.evaluate', {
      expression: `${expressionOf(code)}\n//# sourceURL=${name}`,
      replMode: true,
      awaitPromise: true,
      objectGroup: 'cell',
    }, done);
  }

  fail(details, end, reject) {
    const thrown = details.exception ? this.real(details.exception) : new Error(details.text);
    const compiled = thrown instanceof SyntaxError && !/^\s+at cell-/m.test(thrown.stack);
    const place = compiled ? {line: details.lineNumber, column: details.columnNumber} : null;
    end(reject, {thrown, place});
  }

  /* undefined: there is none, or to ask would have an effect. */
  lookUp(expression) {
    const answer = this.ask('Runtime.evaluate', {
      expression, throwOnSideEffect: true, timeout: 500, objectGroup: 'look',
    });
    try {
      return answer.exceptionDetails ? undefined : this.real(answer.result);
    } finally {
      this.ask('Runtime.releaseObjectGroup', {objectGroup: 'look'});
    }
  }

  /* What let, const and class have declared. */
  declared() {
    return this.ask('Runtime.globalLexicalScopeNames', {}).names;
  }
}

/* "{a: 1}" is an object to a person, and a block to the language. */
function expressionOf(code) {
  if (!/^\s*\{/.test(code) || /;\s*$/.test(code)) return code;
  try {
    new vm.Script(`(${code}\n)`);
    return `(${code}\n)`;
  } catch {
    return code;
  }
}

module.exports = {Cells};
