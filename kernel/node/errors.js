'use strict';
/* What was thrown, as Jupyter's error has it: ename, evalue, and a traceback of the user's own
 * frames. */
const path = require('node:path');
const util = require('node:util');

const RED = '\u001b[31m';
const PLAIN = '\u001b[39m';
const CAUSES_MOST = 8;

function isOurs(frame) {
  return frame.includes(__dirname + path.sep) || frame.includes('node:inspector') ||
    frame.includes('warmcell:run') || frame.includes('node:vm') ||
    frame.includes('node:async_hooks');
}

/* The frames of the user's code: what lies below the first of ours is how we came there. */
function framesOf(error) {
  const lines = typeof error.stack === 'string' ? error.stack.split('\n') : [];
  const frames = lines.filter((line) => /^\s+at /.test(line));
  const ours = frames.findIndex(isOurs);
  return ours < 0 ? frames : frames.slice(0, ours);
}

/* The line that does not compile, and where. */
function placeLines(code, place) {
  const line = code.split('\n')[place.line];
  return line === undefined ? [] : [`    ${line}`, `    ${' '.repeat(Math.max(0, place.column))}^`];
}

function lines(error, depth) {
  const name = nameOf(error);
  const out = [`${RED}${name}${PLAIN}: ${textOf(error)}`, ...framesOf(error)];
  if (error.cause instanceof Error && depth < CAUSES_MOST)
    out.push('', 'caused by:', ...lines(error.cause, depth + 1));
  if (error instanceof AggregateError && depth < CAUSES_MOST)
    for (const one of error.errors.slice(0, CAUSES_MOST))
      if (one instanceof Error) out.push('', 'of these:', ...lines(one, depth + 1));
  return out;
}

function nameOf(error) {
  return String(error.name || error.constructor?.name || 'Error');
}

function textOf(error) {
  const text = String(error.message);
  return error.code === 'ERR_VM_DYNAMIC_IMPORT_CALLBACK_MISSING' ||
    text === 'Invalid host defined options' /* the same, of Node 18 */
    ? 'a cell cannot call import(): use `await importModule("name")`, which does the same'
    : text;
}

/* {ename, evalue, traceback}. Anything can be thrown, and what is thrown can lie about itself. */
function describe({thrown, place = null}, code) {
  try {
    if (!(thrown instanceof Error)) {
      const evalue = util.inspect(thrown);
      return {ename: 'Uncaught', evalue, traceback: [`${RED}Uncaught${PLAIN}: ${evalue}`]};
    }
    const [head, ...rest] = lines(thrown, 0);
    return {
      ename: nameOf(thrown),
      evalue: textOf(thrown),
      traceback: [head, ...(place ? placeLines(code, place) : []), ...rest],
    };
  } catch {
    const evalue = 'what was thrown cannot be shown';
    return {ename: 'Uncaught', evalue, traceback: [evalue]};
  }
}

module.exports = {describe};
