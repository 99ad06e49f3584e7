'use strict';
/* Completion, inspection, and whether code is whole. None of them runs the user's code: what would
 * have an effect is not looked up. Positions are in code points, as in Jupyter's messages. */
const util = require('node:util');
const vm = require('node:vm');

const NAMES_MOST = 1000;
const ONE_NAME = String.raw`[\p{ID_Start}$_][\p{ID_Continue}$]*`;
const NAME = new RegExp(`^${ONE_NAME}$`, 'u');
const CHAIN = new RegExp(`(${ONE_NAME}(?:\\.${ONE_NAME})*)$`, 'u'); /* "a.b" */
const BEGUN = new RegExp(`${ONE_NAME}(?:\\.${ONE_NAME})*\\.?$`, 'u'); /* "a.b" or "a." */
const KEYWORDS = ('async await break case catch class const continue debugger default delete do else export ' +
  'extends false finally for function if import in instanceof let new null return static super ' +
  'switch this throw true try typeof undefined var void while yield').split(' ');

/* Where JavaScript has position in code, which is given in code points. */
function unitsOf(code, points) {
  return [...code].slice(0, points).join('').length;
}

function pointsOf(code, units) {
  return [...code.slice(0, units)].length;
}

function namesOf(value) {
  const names = new Set();
  for (let at = value; at !== null && at !== undefined; at = Object.getPrototypeOf(Object(at))) {
    if (util.types.isProxy(at)) break; /* to ask it runs its code */
    for (const name of Object.getOwnPropertyNames(at)) names.add(name);
    if (names.size > NAMES_MOST) break;
  }
  return [...names].filter((name) => NAME.test(name));
}

function complete(cells, {code, cursor_pos: cursor}) {
  const end = unitsOf(code, cursor ?? Infinity);
  const before = code.slice(0, end);
  const [chain = ''] = before.match(BEGUN) ?? [];
  const dot = chain.lastIndexOf('.');
  const prefix = chain.slice(dot + 1);
  let names;
  if (dot >= 0) {
    const value = cells.lookUp(chain.slice(0, dot));
    names = value === undefined || value === null ? [] : namesOf(value);
  } else {
    names = /\.$/.test(before.slice(0, end - chain.length))
      ? [] : [...new Set([...cells.declared(), ...namesOf(globalThis), ...KEYWORDS])];
  }
  const matches = names.filter((name) => name.startsWith(prefix)).sort().slice(0, NAMES_MOST);
  return {
    status: 'ok',
    matches,
    cursor_start: pointsOf(code, end - prefix.length),
    cursor_end: pointsOf(code, end),
    metadata: {},
  };
}

function about(value, source) {
  if (typeof value !== 'function') return util.inspect(value, {depth: 2});
  const text = Function.prototype.toString.call(value);
  const kind = /^class\b/.test(text) ? 'class' : 'function';
  const head = text.match(/^[^{]*?\)|^class[^{]*/s)?.[0] ?? text.split('\n')[0];
  return source ? text : `${kind}: ${head.trim()}`;
}

function inspect(cells, {code, cursor_pos: cursor, detail_level: detail = 0}) {
  const at = unitsOf(code, cursor ?? Infinity);
  const rest = code.slice(at).match(/^[\p{ID_Continue}$]*/u)[0];
  const before = (code.slice(0, at) + rest).replace(/\($/, '');
  const chain = before.match(CHAIN)?.[1];
  const value = chain === undefined ? undefined : cells.lookUp(chain);
  if (value === undefined) return {status: 'ok', found: false, data: {}, metadata: {}};
  const data = {'text/plain': about(value, detail > 0)};
  return {status: 'ok', found: true, data, metadata: {}};
}

/* What V8 says of code that goes on in the next line. */
const UNFINISHED = [
  /^Unexpected end of input/, /^Unterminated template literal/, /^missing \) after argument list/,
  /^Missing initializer in const/,
];

function compileError(code) {
  try {
    new vm.Script(`(async () => {\n${code}\n})`);
    return null;
  } catch (error) {
    return error;
  }
}

/* In the function around it an open brace takes the one that is its own. */
function isWhole({code}) {
  const error = compileError(code);
  if (!error) return {status: 'complete'};
  let plain = error;
  try {
    new vm.Script(code);
  } catch (other) {
    plain = other;
  }
  const open = UNFINISHED.some((words) => words.test(plain.message)) ||
    /^Unterminated (string|regular)/.test(plain.message) && /\\$/.test(code) ||
    opensComment(code);
  if (!open && !UNFINISHED.some((words) => words.test(error.message))) return {status: 'invalid'};
  return {status: 'incomplete', indent: indentAfter(code)};
}

function opensComment(code) {
  const error = compileError(`${code}*/`);
  return error === null && code.lastIndexOf('/*') > code.lastIndexOf('*/');
}

function indentAfter(code) {
  const last = code.slice(code.lastIndexOf('\n') + 1);
  const indent = last.match(/^\s*/)[0];
  return /[{([]\s*$/.test(last) ? `${indent}  ` : indent;
}

module.exports = {complete, inspect, isWhole};
