/*
 * charts.c - power, temperatures and clocks of GPUs over a run, as drawings inside the HTML.
 *
 * Lines are steps: between two readings nothing is known, and a slope would claim that it is. Where
 * nothing was read for longer than that is usual, there is a gap.
 */
#include "reports/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 900, HEIGHT = 110, EDGE = 4, POINTS = 600 };

static const char *const colours[] = { "#1f77b4", "#d62728", "#2ca02c", "#9467bd",
				       "#ff7f0e", "#17becf", "#8c564b", "#e377c2" };

static const struct {
	const char *name, *title, *unit;
} quantities[] = {
	{ "power_w", "Power", "W" },
	{ "temperature_c", "Temperature", "C" },
	{ "clock_mhz", "Clock", "MHz" },
};

struct frame {
	double from, to, least, most, gap;
};

static double x_of(const struct frame *f, double t)
{
	return EDGE + (WIDTH - 2 * EDGE) * (t - f->from) / (f->to - f->from);
}

static double y_of(const struct frame *f, double v)
{
	double range = f->most > f->least ? f->most - f->least : 1;

	return HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * (v - f->least) / range;
}

static void put_line(const struct telemetry_series *s, const struct frame *f, struct text *out)
{
	unsigned number = (unsigned)strtoul(s->about.part + strlen("gpu"), NULL, 10);

	text_addf(out, "<path fill=\"none\" stroke=\"%s\" d=\"",
		  colours[number % ARRAY_SIZE(colours)]);
	for (int i = 0; i < s->count; i++) {
		double x = x_of(f, s->points[i].t), y = y_of(f, s->points[i].mean);

		if (!i || s->points[i].t - s->points[i - 1].t > f->gap)
			text_addf(out, "M%.1f %.1f", x, y);
		else
			text_addf(out, "H%.1fV%.1f", x, y);
	}
	text_add(out, "\"><title>");
	text_add_xml(out, s->about.part);
	text_add(out, "</title></path>\n");
}

/* How far the values of one quantity go; 0 if there are none. */
static int find_range(const struct telemetry *t, const char *name, struct frame *f)
{
	int any = 0;

	for (int i = 0; i < t->series_count; i++)
		for (int k = 0; !strcmp(t->series[i].about.name, name) && k < t->series[i].count;
		     k++) {
			const struct telemetry_point *p = &t->series[i].points[k];

			f->least = any ? fmin(f->least, p->least) : p->least;
			f->most = any ? fmax(f->most, p->most) : p->most;
			any = 1;
		}
	return any;
}

static void put_quantity(const struct telemetry *t, size_t q, struct frame *f, struct text *out)
{
	if (!find_range(t, quantities[q].name, f))
		return;
	text_addf(out, "<p class=\"why\">%s of GPUs, from %.4g to %.4g %s</p>\n",
		  quantities[q].title, f->least, f->most, quantities[q].unit);
	text_addf(out, "<svg viewBox=\"0 0 %d %d\" class=\"chart\" role=\"img\">\n", WIDTH, HEIGHT);
	for (int i = 0; i < t->series_count; i++)
		if (!strcmp(t->series[i].about.name, quantities[q].name))
			put_line(&t->series[i], f, out);
	text_add(out, "</svg>\n");
}

void report_charts(const struct report_input *in, struct text *out)
{
	const struct report_telemetry *t = in->telemetry;
	struct frame f = { .from = in->results->started, .to = in->results->ended };

	for (int i = 0; t && f.to > f.from && i < t->chart_count; i++) {
		const struct report_chart *c = &t->charts[i];

		if (!c->telemetry->series_count)
			continue;
		/* On the wire a series that rests is silent for up to ten minutes. */
		f.gap = c->telemetry->every > 1 ? TELEMETRY_BEFORE : 3;
		f.gap = fmax(f.gap, 3 * (f.to - f.from) / POINTS);
		text_add(out, "<details><summary>Sensors of ");
		text_add_xml(out, in->fleet->nodes[c->node].name);
		text_add(out, " over the whole run</summary>\n");
		for (size_t q = 0; q < ARRAY_SIZE(quantities); q++)
			put_quantity(c->telemetry, q, &f, out);
		text_add(out, "</details>\n");
	}
}
