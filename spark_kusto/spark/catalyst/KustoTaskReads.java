// Reads of the Python data source "kusto" as a map over tasks.
//
// Spark's reader of Python sources counts metrics row by row and copies each row one time more, which takes as
// long as all the rest of a plain read. So tasks are rows here, and what reads them is Spark's own operator
// for mapInArrow: executors need no class of ours. The tasks of a read that can be planned without running
// anything stand in the plan; those of one that is exported come from a scan that plans it when it runs.
// This file is compiled like KustoPushDown.java, after it; where it cannot be, reads work without it.

import java.lang.ref.SoftReference;
import java.util.*;
import org.apache.spark.sql.catalyst.expressions.And;
import org.apache.spark.sql.catalyst.expressions.AttributeReference;
import org.apache.spark.sql.catalyst.expressions.DynamicPruning;
import org.apache.spark.sql.catalyst.expressions.Expression;
import org.apache.spark.sql.catalyst.expressions.GenericInternalRow;
import org.apache.spark.sql.catalyst.expressions.NamedExpression$;
import org.apache.spark.sql.catalyst.expressions.PythonUDF;
import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan;
import org.apache.spark.sql.catalyst.plans.physical.Partitioning;
import org.apache.spark.sql.catalyst.plans.physical.SinglePartition$;
import org.apache.spark.sql.catalyst.plans.physical.UnknownPartitioning;
import org.apache.spark.sql.execution.FilterExec;
import org.apache.spark.sql.execution.ProjectExec;
import org.apache.spark.sql.execution.RDDScanExec;
import org.apache.spark.sql.execution.SparkPlan;
import org.apache.spark.sql.execution.datasources.v2.DataSourceV2ScanRelation;
import org.apache.spark.sql.internal.SQLConf;
import org.apache.spark.sql.types.BinaryType$;
import org.apache.spark.sql.types.Metadata;
import org.apache.spark.sql.types.StructType;

public class KustoTaskReads extends org.apache.spark.sql.execution.SparkStrategy {
  private static final int KEPT = 64;
  private final java.util.function.Function planner;
  private java.util.function.Function streams = null;
  private final com.fasterxml.jackson.databind.ObjectMapper json = new com.fasterxml.jackson.databind.ObjectMapper();
  // Scans of one query that read the same share their tasks: Spark then sees that they are the same.
  private final LinkedHashMap planned = new LinkedHashMap();
  private boolean warned = false;

  public KustoTaskReads(java.util.function.Function planner, String[] names) { this.planner = planner; }

  // What plans the scans of streams, where this Spark takes it.
  public void plansStreamsBy(java.util.function.Function streams) { this.streams = streams; }

  public scala.collection.immutable.Seq apply(LogicalPlan plan) {
    SparkPlan made = null;
    try {
      made = planned(plan);
    } catch (Exception e) {
      // Spark's own way fails with the same words, or not at all.
      if (!warned) org.slf4j.LoggerFactory.getLogger("spark_kusto").warn("kusto reads are left to Spark to plan", e);
      warned = true;
    }
    return seq(made == null ? new ArrayList() : Collections.singletonList(made));
  }

  private SparkPlan planned(LogicalPlan plan) throws Exception {
    scala.Option matched = org.apache.spark.sql.catalyst.planning.PhysicalOperation$.MODULE$.unapply(plan);
    if (matched.isEmpty()) return null;
    scala.Tuple3 parts = (scala.Tuple3) matched.get();
    if (!"true".equalsIgnoreCase(SQLConf.get().getConfString("spark.kusto.taskReads.enabled", "true"))) return null;
    scala.collection.immutable.Seq projections = (scala.collection.immutable.Seq) parts._1();
    scala.collection.immutable.Seq filters = (scala.collection.immutable.Seq) parts._2();
    Expression condition = null;
    for (int i = 0; i < filters.size(); i++) {
      if (filters.apply(i) instanceof DynamicPruning) return null;
      Expression filter = (Expression) filters.apply(i);
      condition = condition == null ? filter : new And(condition, filter);
    }
    SparkPlan result = scanned((LogicalPlan) parts._3());
    if (result == null) return null;
    if (condition != null) result = new FilterExec(condition, result);
    if (KustoPushDown.same(result.output(), projections)) return result;
    return new ProjectExec(projections, result);
  }

  // The plan of one scan; null if it is none of ours.
  private SparkPlan scanned(LogicalPlan plan) throws Exception {
    if (!(plan instanceof DataSourceV2ScanRelation)) return streams == null ? null : (SparkPlan) streams.apply(plan);
    DataSourceV2ScanRelation relation = (DataSourceV2ScanRelation) plan;
    if (!(relation.scan() instanceof KustoPushDown.KustoScan)) return null;
    KustoPushDown.KustoScan scan = (KustoPushDown.KustoScan) relation.scan();
    if (scan.givesTasks()) return null;
    Object[] tasks = tasks(scan);
    if (tasks == null) return null;
    List input = taskColumn();
    SparkPlan rows;
    if (tasks[0] == null) rows = planLater(KustoPushDown.withScan(relation, scan.tasks(), input));
    else {
      org.apache.spark.rdd.RDD rdd = (org.apache.spark.rdd.RDD) tasks[0];
      Partitioning partitioning;
      // One task's rows need no exchange before they are sorted or aggregated.
      if (rdd.getNumPartitions() == 1) partitioning = SinglePartition$.MODULE$;
      else partitioning = new UnknownPartitioning(rdd.getNumPartitions());
      // Plans print the columns right behind the name, where they would seem a part of the query.
      rows = new RDDScanExec(seq(input), rdd, scan.description() + ";", partitioning, seq(new ArrayList()),
          scala.Option.empty());
    }
    return mapped((org.apache.spark.api.python.PythonFunction) tasks[1], scan.schema, input, rows, relation.output());
  }

  public static List taskColumn() {
    return Collections.singletonList(new AttributeReference("task", BinaryType$.MODULE$, true, Metadata.empty(),
        NamedExpression$.MODULE$.newExprId(), seq(new ArrayList())));
  }

  // What reads tasks, which are rows of one column.
  public static SparkPlan mapped(org.apache.spark.api.python.PythonFunction function, StructType schema, List task,
      SparkPlan rows, scala.collection.immutable.Seq output) {
    Expression call = new PythonUDF("read", function, schema, seq(task),
        org.apache.spark.api.python.PythonEvalType.SQL_MAP_ARROW_ITER_UDF(), true,
        NamedExpression$.MODULE$.newExprId());
    return new org.apache.spark.sql.execution.python.MapInArrowExec(call, output, rows, false, scala.Option.empty());
  }

  // The tasks as rows of their own partitions (null: planned when they run), and the Python function that reads them.
  private Object[] tasks(KustoPushDown.KustoScan scan) throws Exception {
    String key = scan.query + scan.identity;
    Object[] known = known(key, null);
    if (known != null) return known;
    Map read = new LinkedHashMap();
    read.put("options", scan.options);
    read.put("schema", scan.schema.json());
    List answer = (List) planner.apply(json.writeValueAsString(Collections.singletonMap("read", read)));
    if (answer == null) return null;
    if (answer.get(1) == null) return new Object[] {null, answer.get(0)};
    List packed = (List) json.readValue((String) answer.get(1), List.class);
    List rows = new ArrayList();
    for (int i = 0; i < packed.size(); i++)
      rows.add(new GenericInternalRow(new Object[] {Base64.getDecoder().decode((String) packed.get(i))}));
    org.apache.spark.api.java.JavaSparkContext context = new org.apache.spark.api.java.JavaSparkContext(
        org.apache.spark.SparkContext.getOrCreate());
    org.apache.spark.rdd.RDD rdd = context.parallelize(rows, Math.max(1, rows.size())).rdd();
    KustoPushDown.rowsAreOf(rdd.id(), answer.get(2));
    return known(key, new Object[] {rdd, answer.get(0)});
  }

  // What is known under a key; if that is nothing, what was made. Plans in use hold their tasks themselves.
  private synchronized Object[] known(String key, Object[] made) {
    SoftReference reference = (SoftReference) planned.get(key);
    Object[] found = reference == null ? null : (Object[]) reference.get();
    if (found != null || made == null) return found;
    planned.put(key, new SoftReference(made));
    if (planned.size() > KEPT) planned.remove(planned.keySet().iterator().next());
    return made;
  }

  public static scala.collection.immutable.Seq seq(List items) {
    return scala.jdk.javaapi.CollectionConverters.asScala(items).toSeq();
  }
}
