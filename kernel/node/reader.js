'use strict';
/* The thread that reads the link, so that the end of the host is seen whatever the main thread is
 * doing, and that code may wait for an input without giving up its turn. */
const {workerData} = require('node:worker_threads');
const {KIND, receive} = require('./link.js');

const {fd, port, arrivals} = workerData;

function killEverything() {
  process.kill(0, 'SIGKILL');
}

try {
  for (let frame = receive(fd); ; frame = receive(fd)) {
    if (!frame) killEverything();
    port.postMessage(frame);
    Atomics.add(arrivals, 0, 1);
    Atomics.notify(arrivals, 0);
    if (frame.kind === KIND.SHUTDOWN) break; /* a thread that reads would keep the process */
  }
} catch (error) {
  process._rawDebug(`the link cannot be read: ${error.message}`);
  killEverything();
}
