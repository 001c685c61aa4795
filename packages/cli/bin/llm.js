#!/usr/bin/env node
// A file of its own, because npm links commands at installation, when nothing is compiled yet in a checkout.
import '../dist/main.js';
