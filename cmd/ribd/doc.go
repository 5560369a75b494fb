// Command ribd is the RIB server: it loads routing dumps and answers look-ups
// over HTTP.
//
//	ribd serve [--config FILE] [--load FILE]... [--strict] [--http ADDR] [--bgp ADDR]
//	ribd check FILE
//	ribd version
//
// It exits with 0 where it was asked to end and did, 1 after an error, 2 where
// the command line is wrong.
package main
