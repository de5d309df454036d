"""The simplest broker that libzmq offers: ROUTER and DEALER with zmq.proxy between them, all of it in C."""
import sys
import zmq

context = zmq.Context()
clients, workers = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
clients.bind("tcp://127.0.0.1:" + sys.argv[1])
workers.bind("tcp://127.0.0.1:" + sys.argv[2])
zmq.proxy(clients, workers)
