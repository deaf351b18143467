// SPDX-License-Identifier: Apache-2.0
// Draws each look that /events sends. Names come from shared memory and may be anything:
// they get into the page as textContent alone.
"use strict";

const POINTS = 240;
const COLOURS = ["#4aa3df", "#43c38a", "#e8b339", "#b48ae0", "#ef7f5a", "#5cc8c8"];
const BAD = "#ff5c4d";
const SVG = "http://www.w3.org/2000/svg";
const lines = new Map(); // the points of each line, by its name
let instance = null;

const at = (id) => document.getElementById(id);

function element(name, text, classes) {
	const node = document.createElement(name);
	if (text !== undefined)
		node.textContent = text;
	if (classes)
		node.className = classes;
	return node;
}

function shape(name, attributes) {
	const node = document.createElementNS(SVG, name);
	for (const [key, value] of Object.entries(attributes))
		node.setAttribute(key, value);
	return node;
}

// ---- numbers ----------------------------------------------------------------

function count(n) {
	if (typeof n !== "number")
		return "-";
	if (n < 100000)
		return String(Math.round(n));
	for (const unit of ["k", "M", "G", "T", "P"]) {
		n /= 1000;
		if (n < 999.5)
			return n.toPrecision(3) + unit;
	}
	return n.toPrecision(3) + "P";
}

const rate = (n) => typeof n === "number" && n > 0 && n < 9.95 ? n.toFixed(1) : count(n);

function micro(ns) {
	if (typeof ns !== "number")
		return "-";
	const us = ns / 1000;
	if (us >= 1e6)
		return (us / 1e6).toFixed(1) + " s";
	return us < 10 ? us.toFixed(2) : us < 1000 ? us.toFixed(1) : us.toFixed(0);
}

function age(s) {
	s = Math.floor(s);
	if (s < 60)
		return s + "s";
	if (s < 3600)
		return Math.floor(s / 60) + "m " + s % 60 + "s";
	if (s < 86400)
		return Math.floor(s / 3600) + "h " + Math.floor(s / 60) % 60 + "m";
	return Math.floor(s / 86400) + "d " + Math.floor(s / 3600) % 24 + "h";
}

// ---- tables -------------------------------------------------------------------

// columns: [title, (row) => text, class or (row) => class]
function table(id, columns, rows, none) {
	const node = at(id);
	const head = element("tr");
	for (const [title, , style] of columns)
		head.append(element("th", title, style === "n" || typeof style === "function" ? "n" : ""));
	node.replaceChildren(head);
	for (const row of rows) {
		const line = element("tr");
		for (const [title, text, style] of columns) {
			const cell = element("td", text(row), typeof style === "function" ? style(row) : style || "");
			cell.dataset.column = title;
			line.append(cell);
		}
		node.append(line);
	}
	if (!rows.length) {
		const line = element("tr");
		const cell = element("td", none, "none");
		cell.colSpan = columns.length;
		line.append(cell);
		node.append(line);
	}
}

const red = (n) => n > 0 ? "n bad" : "n";
const latency = (row, point) => row.latency_ns && row.latency_ns.count ? micro(row.latency_ns[point]) : "-";

function drawGroups(look) {
	table("groups", [
		["channel", (g) => g.channel],
		["group", (g) => g.group],
		["policy", (g) => g.evicted ? "evicted" : g.policy],
		["members", (g) => count(g.members), "n"],
		["events/s", (g) => rate(g.delivered_per_s), "n"],
		["lag", (g) => count(g.lag), "n"],
		["lost/s", (g) => rate(g.lost_per_s), (g) => red(g.lost_per_s)],
		["lost", (g) => count(g.lost), "n"],
		["p50 µs", (g) => latency(g, "p50"), "n"],
		["p90 µs", (g) => latency(g, "p90"), "n"],
		["p99 µs", (g) => latency(g, "p99"), "n"],
		["p99.9 µs", (g) => latency(g, "p99.9"), "n"],
		["max µs", (g) => latency(g, "max"), "n"],
	], [...look.groups].sort((a, b) => b.lag - a.lag), "no group reads");
}

function drawDrops(look) {
	table("drops", [
		["channel", (d) => d.channel],
		["class", (d) => d.class],
		["cause", (d) => d.cause],
		["events/s", (d) => rate(d.dropped_per_s), (d) => red(d.dropped_per_s)],
		["events", (d) => count(d.dropped), "n"],
		["lanes", (d) => count(d.lanes), "n"],
		["because", (d) => !d.group ? d.says
			: "group " + d.group + (d.unread ? " has " + d.unread : " had " + d.peak) + " unread"],
	], look.drops, look.healthy === null ? "none that can be seen" : "no event was refused");
}

function drawClients(look) {
	table("clients", [
		["pid", (c) => String(c.pid), "n"],
		["command", (c) => c.comm],
		["role", (c) => c.role],
		["channel", (c) => c.channel],
		["group", (c) => c.group || "-"],
		["lanes", (c) => count(c.lanes), "n"],
		["unread", (c) => count(c.unread), "n"],
		["process", (c) => c.process],
		["note", (c) => c.note || "", "note"],
	], [...look.clients].sort((a, b) => (b.unread || 0) - (a.unread || 0)).slice(0, 50), "no client");
}

// ---- totals ---------------------------------------------------------------------

function drawTotals(look) {
	const t = look.totals;
	const fill = t.capacity ? (100 * t.used / t.capacity).toFixed(1) + "%" : "-";
	const blocks = [
		["published", "events/s", rate(t.published_per_s), ""],
		["delivered", "read/s", rate(t.delivered_per_s), ""],
		// At least: a group could not be read.
		["lag", "lag", count(t.lag) + (t.groups_not_read && t.lag !== null ? "+" : ""), ""],
		["refused", "refused/s", rate(t.dropped_per_s), t.dropped_per_s > 0 ? "bad" : ""],
		["lost", "lost/s", rate(t.lost_per_s), t.lost_per_s > 0 ? "bad" : ""],
		["fill", "fill", fill, ""],
	];
	at("totals").replaceChildren(...blocks.map(([id, title, text, style]) => {
		const node = element("div");
		const number = element("b", text, style);
		number.id = "total-" + id;
		node.append(number, element("span", title));
		return node;
	}));
}

// ---- the heat map -----------------------------------------------------------------

function heatLine(name, lanes) {
	const line = element("div", undefined, "heatline");
	const cells = element("div", undefined, "cells");
	for (const lane of lanes) {
		const cell = element("div", undefined, "cell");
		const level = element("i");
		const where = lane.cpu === null ? "side lane " + lane.lane : "CPU " + lane.cpu;
		level.style.height = Math.max(lane.fill > 0 ? 8 : 0, 100 * lane.fill) + "%";
		if (lane.fill >= 0.5)
			cell.classList.add(lane.fill >= 0.85 ? "high" : "half");
		if (lane.dropped_per_s > 0)
			cell.classList.add("drops");
		cell.title = name + ", " + where + ": " + lane.used + " of " + lane.capacity + " blocks, " +
			rate(lane.published_per_s) + " events/s, " + rate(lane.dropped_per_s) + " refused/s";
		cell.append(level);
		cells.append(cell);
	}
	line.append(element("span", name), cells);
	return line;
}

function drawHeat(look) {
	const groups = new Map();
	for (const lane of look.lanes) {
		if (lane.side && !lane.published && !lane.held && !lane.dropped_total)
			continue;
		const name = lane.channel + " " + lane.class + (lane.side ? " side" : "") +
			(lane.node === null ? "" : " node " + lane.node);
		if (!groups.has(name))
			groups.set(name, []);
		groups.get(name).push(lane);
	}
	const place = (lane) => lane.cpu === null ? lane.lane : lane.cpu;
	at("heat").replaceChildren(...[...groups].map(([name, lanes]) =>
		heatLine(name, lanes.sort((a, b) => place(a) - place(b)))));
}

// ---- lines over time -----------------------------------------------------------------

function note(name, value) {
	if (!lines.has(name))
		lines.set(name, []);
	const points = lines.get(name);
	points.push(typeof value === "number" ? value : null);
	if (points.length > POINTS)
		points.shift();
}

function path(points, most, width, height) {
	let text = "";
	let pen = false;
	points.forEach((value, i) => {
		const x = width - (points.length - 1 - i) * width / (Math.max(points.length, POINTS / 4) - 1);
		if (value === null) { // not known: a gap
			pen = false;
			return;
		}
		text += (pen ? "L" : "M") + x.toFixed(1) + " " + (height - value / most * (height - 14)).toFixed(1);
		pen = true;
	});
	return text;
}

// series: [name of the line, title, colour]
function chart(id, series) {
	const width = 640, height = 150;
	const svg = shape("svg", { viewBox: "0 0 " + width + " " + (height + 4) });
	const key = element("div", undefined, "key");
	let most = 0;
	for (const [name] of series)
		for (const value of lines.get(name) || [])
			most = Math.max(most, value || 0);
	for (const part of [0, 0.5, 1]) {
		const y = height - part * (height - 14);
		const label = shape("text", { x: 2, y: y - 3 });
		svg.append(shape("line", { x1: 0, x2: width, y1: y, y2: y, stroke: "#8592a0", "stroke-opacity": 0.25 }));
		label.textContent = part ? count(most * part) : "";
		svg.append(label);
	}
	for (const [name, title, colour] of series) {
		const points = lines.get(name) || [];
		const mark = element("i");
		const text = element("span");
		mark.style.background = colour;
		text.append(mark, title + " " + rate(points[points.length - 1]));
		key.append(text);
		svg.append(shape("path", { d: path(points, most || 1, width, height), fill: "none",
			stroke: colour, "stroke-width": 1.5 }));
	}
	at(id).replaceChildren(svg, key);
}

function drawLines(look) {
	note("published", look.totals.published_per_s);
	note("delivered", look.totals.delivered_per_s);
	note("refused", look.totals.dropped_per_s);
	chart("rates", [["published", "published", COLOURS[0]], ["delivered", "read", COLOURS[1]],
		["refused", "refused", BAD]]);
	for (const group of look.groups)
		note("lag " + group.channel + "/" + group.group, group.lag);
	const worst = [...look.groups].sort((a, b) => b.lag - a.lag).slice(0, COLOURS.length)
		.map((g) => g.channel + "/" + g.group).sort();
	chart("lags", worst.map((name, i) => ["lag " + name, name, COLOURS[i]]));
}

// ---- all of it ---------------------------------------------------------------------------

function say(text) {
	at("notice").hidden = !text;
	at("notice").textContent = text;
}

function drawStatus(look) {
	const b = look.broker;
	at("broker").textContent = "tapiod " + b.pid + " " + b.process + ", up " + age(b.uptime_s) +
		", restarts " + b.restarts + ", version " + b.version + ", instance " + b.instance.slice(0, 8);
	at("health").textContent = look.healthy ? "healthy" : look.healthy === null ? "not all can be read"
		: "not healthy: " + [...new Set(look.faults)].join(", ") + ", see tapio-shmstat why";
	at("health").className = look.healthy ? "good" : look.healthy === null ? "warn" : "bad";
	say([look.why, ...look.changes].filter((text) => text).join("; "));
}

function draw(look) {
	at("clock").textContent = new Date().toLocaleTimeString();
	if (!look.broker) {
		at("broker").textContent = "no broker";
		at("health").textContent = "";
		say("waiting: " + look.why);
		return;
	}
	if (instance !== null && instance !== look.broker.instance)
		lines.clear();
	instance = look.broker.instance;
	drawStatus(look);
	drawTotals(look);
	drawHeat(look);
	drawLines(look);
	drawGroups(look);
	drawDrops(look);
	drawClients(look);
}

const events = new EventSource("events");
events.onmessage = (message) => draw(JSON.parse(message.data));
events.onerror = () => say("the connection to tapio-shmstat serve is lost: trying again");
