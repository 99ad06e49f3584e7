'use strict';
/* Frames of the link: docs/link.md. Reading and writing block the thread that does it. */
const {readSync, writeSync} = require('node:fs'); /* as they are before a cell changes them */

const VERSION = 1;
const HEAD_BYTES = 16;
const FRAME_LIMIT_BYTES = 2 ** 30;
const PARTS_MOST = 1100;

const KIND = {
  HELLO: 1, REQUEST: 2, INPUT: 3, SHUTDOWN: 4, ADOPT: 5,
  READY: 16, STREAM: 17, PUBLISH: 18, REPLY: 19, DONE: 20, INPUT_REQUEST: 21, HISTORY: 22, EXIT: 23,
};
const ABORT_QUEUE = 1;
const PIPES_FIRST = 2;

/* What stands in both pipes comes before the frame, however much it is. */
const ALL_OF_THE_PIPES = Buffer.alloc(16, 0xff);

/* A text as JSON that every reader takes: half of a surrogate pair becomes U+FFFD. */
function json(value) {
  const text = JSON.stringify(value);
  return Buffer.from(text.replace(/(\\\\)|\\ud[0-9a-f]{3}/g, (all, escape) => escape ?? '\ufffd'));
}

/* True: wait and try again. The socket may be one that does not block. */
function mayTryAgain(error) {
  if (error.code !== 'EAGAIN' && error.code !== 'EINTR') return false;
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
  return true;
}

/* null: the other end has gone. */
function readExactly(fd, size) {
  const data = Buffer.allocUnsafe(size);
  for (let done = 0; done < size;) {
    try {
      const got = readSync(fd, data, done, size - done, null);
      if (got === 0) return null;
      done += got;
    } catch (error) {
      if (error.code === 'ECONNRESET') return null;
      if (!mayTryAgain(error)) throw error;
    }
  }
  return data;
}

/* {kind, number, parts}, or null at the end. A frame that breaks the rules is an error. */
function receive(fd) {
  const head = readExactly(fd, HEAD_BYTES);
  if (!head) return null;
  const length = head.readUInt32LE(0);
  const count = head.readUInt16LE(6);
  if (length > FRAME_LIMIT_BYTES || count > PARTS_MOST || 4 * count > length)
    throw new Error('a frame of the link has lengths that cannot be');
  const body = readExactly(fd, length);
  if (!body) return null;
  const parts = [];
  let at = 4 * count;
  for (let i = 0; i < count; i++) {
    const end = at + body.readUInt32LE(4 * i);
    if (end > length) throw new Error('a part of a frame of the link is longer than the frame');
    parts.push(body.subarray(at, end));
    at = end;
  }
  return {kind: head[4], number: Number(head.readBigUInt64LE(8)), parts};
}

function send(fd, kind, number, parts, flags = 0) {
  const head = Buffer.alloc(HEAD_BYTES + 4 * parts.length);
  const length = parts.reduce((sum, part) => sum + part.length, 4 * parts.length);
  if (length > FRAME_LIMIT_BYTES)
    throw new RangeError(`${length} bytes are more than one message may have (${FRAME_LIMIT_BYTES})`);
  head.writeUInt32LE(length, 0);
  head[4] = kind;
  head[5] = flags;
  head.writeUInt16LE(parts.length, 6);
  head.writeBigUInt64LE(BigInt(number), 8);
  parts.forEach((part, i) => head.writeUInt32LE(part.length, HEAD_BYTES + 4 * i));
  const data = Buffer.concat([head, ...parts]);
  for (let done = 0; done < data.length;) {
    try {
      done += writeSync(fd, data, done);
    } catch (error) {
      if (!mayTryAgain(error)) throw error;
    }
  }
}

module.exports = {VERSION, KIND, ABORT_QUEUE, PIPES_FIRST, ALL_OF_THE_PIPES, json, receive, send};
